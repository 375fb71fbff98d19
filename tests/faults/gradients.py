"""Planted wrong backward passes, and correct functions that a naive check would condemn.

A checker of gradients must find and locate every case of ``WRONG``, and acquit every case of
``INNOCENT``. In each wrong case one operation is wrong; it is called on the one line that ends with
the comment ``culprit``. Run the file to see that every wrong case is wrong and every case runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:

    class Function:
        @staticmethod
        def apply(*arguments: Any) -> Tensor: ...

else:
    from torch.autograd import Function

Inputs = Callable[[], tuple[Tensor, ...]]
T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Case:
    """One thing to check.

    Args:
        name: short and unique.
        target: makes the thing to check, a function of tensors or an ``nn.Module``.
        inputs: makes its float64 tensors, the same ones each time.
        culprit: of wrong cases the class of the wrong operation, or "detach", "item", or the
            function that ran under ``torch.no_grad()``.
    """

    name: str
    target: Callable[[], Any]
    inputs: Inputs
    culprit: str = ""


_wrong: list[Case] = []
_innocent: list[Case] = []


def wrong(name: str, culprit: type | str, inputs: Inputs) -> Callable[[T], T]:
    """Plant the decorated function or module class in ``WRONG``."""
    word = culprit if isinstance(culprit, str) else culprit.__name__
    return _planter(_wrong, name, inputs, word)


def innocent(name: str, inputs: Inputs) -> Callable[[T], T]:
    """Plant the decorated function or module class in ``INNOCENT``."""
    return _planter(_innocent, name, inputs, "")


def _planter(cases: list[Case], name: str, inputs: Inputs, culprit: str) -> Callable[[T], T]:
    def plant(target: T) -> T:
        def make() -> Any:
            if not isinstance(target, type):
                return target
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                return target().double().train()

        cases.append(Case(name, make, inputs, culprit))
        return target

    return plant


def normal(*shapes: tuple[int, ...], scale: float = 1.0, shift: float = 0.0) -> Inputs:
    """Tensors of these shapes, ``shift + scale * N(0, 1)``."""

    def make() -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(7)
        drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        return tuple(shift + scale * tensor for tensor in drawn)

    return make


def given(*values: Any) -> Inputs:
    """Tensors with exactly these values."""
    return lambda: tuple(torch.tensor(value, dtype=torch.float64) for value in values)


LABELS = torch.tensor([0, 2, 1])
REPEATED = torch.tensor([0, 2, 2, 1, 0, 2])


# Wrong: activations ------------------------------------------------------------------------------


class SignFlippedRelu(Function):
    """The gradient's sign is flipped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return -g * (x > 0)


@wrong("relu: sign flipped", SignFlippedRelu, normal((3, 4), (5, 4), (2, 5)))
def relu_network(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    h = F.linear(x, first)
    h = SignFlippedRelu.apply(h)  # culprit
    return torch.tanh(F.linear(h, second))


class SigmoidOfInput(Function):
    """``s (1 - x)`` instead of ``s (1 - s)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return s

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, s = ctx.saved_tensors
        return g * s * (1 - x)


@wrong("sigmoid: s (1 - x)", SigmoidOfInput, normal((3, 4), (4, 4), (4,)))
def sigmoid_network(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    h = F.linear(x, weight, bias)
    h = SigmoidOfInput.apply(h)  # culprit
    return F.softplus(h).sum(1)


class TanhOfInput(Function):
    """``1 - x^2`` with the input instead of the output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * (1 - x**2)


@wrong("tanh: 1 - x^2 of the input", TanhOfInput, normal((3,), (4, 3), (2, 4), scale=0.5))
class TanhNetwork(nn.Module):
    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        h = first @ x
        h = TanhOfInput.apply(h)  # culprit
        return torch.relu(second @ h + 0.3)


class SwappedSlopeLeakyRelu(Function):
    """The slope sits in the positive branch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x > 0, x, 0.1 * x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, 0.1 * g, g)


@wrong("leaky relu: slope in the wrong branch", SwappedSlopeLeakyRelu, normal((3, 5), (5, 5)))
def leaky_network(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(x) @ weight
    h = SwappedSlopeLeakyRelu.apply(h)  # culprit
    return (h * h).mean(0)


class EluWithoutAlpha(Function):
    """The derivative of the negative branch forgets alpha."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x > 0, x, 0.5 * torch.expm1(x))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, g, g * torch.exp(x))


@wrong("elu: alpha forgotten", EluWithoutAlpha, normal((4, 3), (3, 3)))
def elu_network(x: Tensor, weight: Tensor) -> Tensor:
    h = F.layer_norm(x @ weight, (3,))
    h = EluWithoutAlpha.apply(h)  # culprit
    return torch.logsumexp(h, 1)


class GeluWithoutDensity(Function):
    """``Phi(x)`` without ``x phi(x)``: half of the product rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.gelu(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * 0.5 * (1 + torch.erf(x / sqrt(2)))


@wrong("gelu: half of the product rule", GeluWithoutDensity, normal((2, 4), (6, 4), (4, 6)))
def transformer_mlp(x: Tensor, up: Tensor, down: Tensor) -> Tensor:
    h = F.linear(x, up)
    h = GeluWithoutDensity.apply(h)  # culprit
    return x + F.linear(h, down)


class ClampPassesAll(Function):
    """Gradient flows outside the bounds as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(-0.5, 0.5)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g


@wrong("clamp: gradient outside the bounds", ClampPassesAll, normal((3, 4), (4, 2)))
def clamped_network(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.sin(x)
    h = ClampPassesAll.apply(h)  # culprit
    return torch.tanh(h @ weight)


# Wrong: elementwise arithmetic -------------------------------------------------------------------


class SquareWithoutTwo(Function):
    """``x`` instead of ``2 x``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * x


@wrong("square: factor 2 missing", SquareWithoutTwo, normal((3, 4), (2, 4), (3, 2)))
def squared_error(x: Tensor, weight: Tensor, wanted: Tensor) -> Tensor:
    residual = torch.tanh(F.linear(x, weight)) - wanted
    squares = SquareWithoutTwo.apply(residual)  # culprit
    return squares.sum(1).mean()


class DivisionWrongSign(Function):
    """The denominator's gradient has the wrong sign."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a / b

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        return g / b, g * a / b**2


@wrong("division: sign of the denominator's", DivisionWrongSign, normal((3, 4), (3, 4), (4, 4)))
def normalized_attention(x: Tensor, z: Tensor, weight: Tensor) -> Tensor:
    parts = F.softplus(z @ weight) + 0.5
    ratio = DivisionWrongSign.apply(torch.tanh(x), parts)  # culprit
    return ratio @ weight


class SqrtWrongPower(Function):
    """``x^(1/2) / 2`` instead of ``x^(-1/2) / 2``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sqrt(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * 0.5 * x**0.5


@wrong("sqrt: wrong power", SqrtWrongPower, normal((5, 3), (3, 3)))
def root_mean_square(x: Tensor, weight: Tensor) -> Tensor:
    power = (x @ weight).square().mean(1) + 0.1
    rms = SqrtWrongPower.apply(power)  # culprit
    return torch.log(1 + rms)


class SineIgnoresUpstream(Function):
    """Returns ``cos(x)``, whatever comes from above."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return torch.ones_like(g) * torch.cos(x)


@wrong("upstream gradient ignored", SineIgnoresUpstream, normal((3, 4), (4, 4), (4, 2)))
def sine_network(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    h = x @ first
    h = SineIgnoresUpstream.apply(h)  # culprit
    return torch.tanh(h @ second)


class CornerWrong(Function):
    """``x^3`` with a wrong gradient in the last corner only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        result = g * 3 * x**2
        result[..., -1, -1] *= 0.5
        return result


@wrong("one corner of a tensor", CornerWrong, normal((12, 12), (12,)))
def image_energy(image: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(image) + 0.5
    h = CornerWrong.apply(h)  # culprit
    return F.softplus(h) @ weight


class OffByAThousandth(Function):
    """All gradients are 1.001 times too large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.exp(-x * x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * -2.002 * x * torch.exp(-x * x)


@wrong("wrong by 1e-3", OffByAThousandth, normal((4, 3), (5, 3), (5,)))
def radial_basis(x: Tensor, centres: Tensor, weight: Tensor) -> Tensor:
    distance = (x[:, None] - centres).square().mean(2)
    kernel = OffByAThousandth.apply(distance)  # culprit
    return kernel @ weight


class TinySignFlipped(Function):
    """The sign is flipped, and the gradient about 1e-6."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 1e-6 * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return -1e-6 * g


@wrong("tiny gradient, sign flipped", TinySignFlipped, normal((3, 4), (4, 2)))
def tiny_network(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(x)
    h = TinySignFlipped.apply(h)  # culprit
    return torch.sin(h @ weight)


class GateForgetsNew(Function):
    """The gate of ``z h + (1 - z) n`` sees ``h`` but not ``-n``."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, h: Tensor, n: Tensor) -> Tensor:
        ctx.save_for_backward(z, h)
        return z * h + (1 - z) * n

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        z, h = ctx.saved_tensors
        return g * h, g * z, g * (1 - z)


@wrong("gate: one of two terms", GateForgetsNew, normal((2, 3), (2, 4), (4, 3), (4, 3)))
def gated_unit(x: Tensor, h: Tensor, gate: Tensor, new: Tensor) -> Tensor:
    z = torch.sigmoid(F.linear(x, gate))
    n = torch.tanh(F.linear(x, new) + h)
    h = GateForgetsNew.apply(z, h, n)  # culprit
    return h.sum(1)


# Wrong: sums, selections, shapes -----------------------------------------------------------------


class MeanWithoutN(Function):
    """A mean with the gradient of a sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.mean()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.expand(ctx.shape)


@wrong("mean: 1/N missing", MeanWithoutN, normal((3, 4), (4, 4)))
def mean_loss(x: Tensor, weight: Tensor) -> Tensor:
    losses = F.softplus(torch.tanh(x) @ weight)
    loss = MeanWithoutN.apply(losses)  # culprit
    return torch.log(loss)


class SumWithN(Function):
    """A sum with the gradient of a mean."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.sum()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.expand(ctx.shape) / ctx.shape.numel()


@wrong("sum: 1/N too much", SumWithN, normal((3, 4), (4, 2)))
def sum_loss(x: Tensor, weight: Tensor) -> Tensor:
    losses = (x @ weight).square()
    loss = SumWithN.apply(losses)  # culprit
    return torch.sqrt(1 + loss)


class FirstRowBias(Function):
    """The bias takes the first row's gradient instead of the sum over the minibatch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        return x + bias

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g, g[0]


@wrong("bias: broadcast not summed", FirstRowBias, normal((4, 3), (3, 3), (3,)))
def biased_network(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    h = x @ weight
    h = FirstRowBias.apply(h, bias)  # culprit
    return torch.tanh(h).sum(1)


class ForwardCumsum(Function):
    """The gradient is summed from the front, not from the back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.cumsum(-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.cumsum(-1)


@wrong("cumsum: direction forgotten", ForwardCumsum, normal((2, 6), (6, 3)))
def cumulative_hazard(x: Tensor, weight: Tensor) -> Tensor:
    hazard = F.softplus(x)
    total = ForwardCumsum.apply(hazard)  # culprit
    return torch.exp(-total) @ weight


class GatherOverwrites(Function):
    """Repeated indices overwrite each other's gradient instead of adding to it."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = table.shape
        return table[index]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (index,) = ctx.saved_tensors
        result = g.new_zeros(ctx.shape)
        for row, i in enumerate(index.tolist()):
            result[i] = g[row]
        return result, None


@wrong("embedding: overwrites repeated indices", GatherOverwrites, normal((4, 3), (3, 3)))
def embedding_network(table: Tensor, weight: Tensor) -> Tensor:
    words = GatherOverwrites.apply(table, REPEATED)  # culprit
    return torch.tanh(words @ weight).sum(0)


class MaxSpreads(Function):
    """A maximum over an axis that gives every element its share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.amax(1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g[:, None].expand(ctx.shape) / ctx.shape[1]


@wrong("max: gradient for all", MaxSpreads, normal((3, 4), (4, 5)))
def maxout(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(x) @ weight
    h = MaxSpreads.apply(h)  # culprit
    return h * h


class SwappedConcat(Function):
    """The two halves of the gradient go to the wrong argument."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b], 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = g.chunk(2, 1)
        return b, a


@wrong("concat: halves swapped", SwappedConcat, normal((3, 2), (3, 2), (4, 4)))
def skip_connection(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    both = SwappedConcat.apply(torch.relu(x), torch.tanh(y))  # culprit
    return torch.sigmoid(both @ weight)


class PermuteNotInverted(Function):
    """The backward pass permutes forwards once more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.permute(1, 2, 0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.permute(1, 2, 0)


@wrong("permute: not inverted", PermuteNotInverted, normal((3, 3, 3), (3, 2)))
def head_split(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.sin(x)
    h = PermuteNotInverted.apply(h)  # culprit
    return torch.tanh(h @ weight)


class UpsampleCorner(Function):
    """Only one of the four copies of a pixel gives its gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g[..., ::2, ::2].clone()


@wrong("upsampling: copies not summed", UpsampleCorner, normal((1, 2, 3, 3), (2, 2, 2, 2)))
def decoder(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(x)
    h = UpsampleCorner.apply(h)  # culprit
    return F.conv2d(h, weight).sum(1)


# Wrong: linear algebra ---------------------------------------------------------------------------


class TransposedLinear(Function):
    """The gradient of the square weight is transposed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        return g @ weight, x.T @ g


@wrong("linear: weight gradient transposed", TransposedLinear, normal((3, 4)))
class TransposedNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.weight = nn.Parameter(torch.randn(5, 5) / 2)
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        h = TransposedLinear.apply(h, self.weight)  # culprit
        return self.last(torch.relu(h))


class WeightWithoutGradient(Function):
    """The weight's gradient is None."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return g @ weight.T, None


@wrong("linear: weight without gradient", WeightWithoutGradient, normal((3, 4), (4, 3), (3, 2)))
def frozen_network(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    h = WeightWithoutGradient.apply(torch.sin(x), first)  # culprit
    return torch.relu(h) @ second


class TiedOneUse(Function):
    """``tanh(x W) W^T``, but only the second use of the shared weight gives a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        h = torch.tanh(x @ weight)
        ctx.save_for_backward(h, weight)
        return h @ weight.T

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        h, weight = ctx.saved_tensors
        inner = (g @ weight) * (1 - h * h)
        return inner @ weight.T, g.T @ h


@wrong("shared weight: one of two uses", TiedOneUse, normal((3, 5)))
class TiedAutoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3) / 2)
        self.bias = nn.Parameter(torch.randn(5) / 2)

    def forward(self, x: Tensor) -> Any:
        rebuilt = TiedOneUse.apply(x, self.weight) + self.bias  # culprit
        return (rebuilt - x).square().sum(1)


class InverseNotTransposed(Function):
    """``-Y G Y`` instead of ``-Y^T G Y^T``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inverse: Tensor = torch.linalg.inv(x)
        ctx.save_for_backward(inverse)
        return inverse.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (inverse,) = ctx.saved_tensors
        return -inverse @ g @ inverse


@wrong("inverse: not transposed", InverseNotTransposed, normal((4, 4), (4, 2)))
def linear_solve(a: Tensor, b: Tensor) -> Tensor:
    matrix = torch.tanh(a) + 3 * torch.eye(4, dtype=a.dtype)
    inverse = InverseNotTransposed.apply(matrix)  # culprit
    return torch.tanh(inverse @ b)


class ScoresWithoutScale(Function):
    """``q k^T / sqrt(d)`` whose gradient forgets ``1 / sqrt(d)``."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor) -> Tensor:
        ctx.save_for_backward(q, k)
        return q @ k.T / sqrt(q.shape[1])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k = ctx.saved_tensors
        return g @ k, g.T @ q


@wrong("attention: scale forgotten", ScoresWithoutScale, normal((3, 4), (4, 4), (4, 4), (4, 4)))
def attention(x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = ScoresWithoutScale.apply(x @ query, x @ key)  # culprit
    return torch.softmax(scores, 1) @ (x @ value)


class NormNotDivided(Function):
    """The gradient of a length is ``x``, not ``x / |x|``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square().sum(1, keepdim=True).sqrt()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * x


@wrong("norm: not divided by the norm", NormNotDivided, normal((3, 4), (4, 4)))
def cosine_features(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(x) @ weight
    length = NormNotDivided.apply(h)  # culprit
    return (h / (1 + length)).sum(1)


class ConjugateForgotten(Function):
    """A product of complex tensors whose gradient forgets the conjugate of one factor."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, response: Tensor) -> Tensor:
        ctx.save_for_backward(signal, response)
        return signal * response

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        signal, response = ctx.saved_tensors
        return g * response, g * signal.conj()


@wrong("complex product: not conjugated", ConjugateForgotten, normal((2, 8), (5,), (5,)))
def spectral_filter(x: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    spectrum = torch.fft.rfft(torch.tanh(x))
    spectrum = ConjugateForgotten.apply(spectrum, torch.complex(real, imaginary))  # culprit
    return torch.relu(torch.fft.irfft(spectrum, n=8))


# Wrong: convolution and pooling ------------------------------------------------------------------


def _windows(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """1-D convolution: (N, C, L), (O, C, k) to (N, O, positions)."""
    return torch.einsum("nclk,ock->nol", x.unfold(2, weight.shape[2], stride), weight)


def _weight_gradient(g: Tensor, x: Tensor, size: int, stride: int) -> Tensor:
    return torch.einsum("nol,nclk->ock", g, x.unfold(2, size, stride))


def _input_gradient(g: Tensor, x: Tensor, weight: Tensor, start: Callable[[int], int]) -> Tensor:
    """What each window gives back, written from position ``start(window)`` on."""
    result = torch.zeros_like(x)
    for window in range(g.shape[2]):
        part = torch.einsum("no,ock->nck", g[:, :, window], weight)
        begin = start(window)
        result[:, :, begin : begin + weight.shape[2]] += part
    return result


class ConvOffByOne(Function):
    """The windows of the input gradient lie one position too far right."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _windows(x, weight, 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        last = x.shape[2] - weight.shape[2]
        into = _input_gradient(g, x, weight, lambda window: min(window + 1, last))
        return into, _weight_gradient(g, x, weight.shape[2], 1)


@wrong("conv1d: window off by one", ConvOffByOne, normal((2, 2, 8), (3, 2, 3), (3,)))
def audio_network(x: Tensor, weight: Tensor, last: Tensor) -> Tensor:
    h = torch.tanh(x)
    h = ConvOffByOne.apply(h, weight)  # culprit
    return torch.einsum("ncl,c->n", torch.relu(h), last)


class ConvStrideIgnored(Function):
    """A convolution with stride 2 whose input gradient moves by 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _windows(x, weight, 2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        into = _input_gradient(g, x, weight, lambda window: window)
        return into, _weight_gradient(g, x, weight.shape[2], 2)


@wrong("conv1d: stride ignored", ConvStrideIgnored, normal((2, 2, 9), (2, 2, 3), (2, 2, 3)))
def strided_network(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    h = torch.relu(F.conv1d(x, first, padding=1))
    h = ConvStrideIgnored.apply(h, second)  # culprit
    return torch.tanh(h).sum(2)


class ConvPaddingForgotten(Function):
    """The padded input's gradient is cut at its end only, so that it is shifted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1))
        ctx.save_for_backward(padded, weight)
        return _windows(padded, weight, 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        padded, weight = ctx.saved_tensors
        into = _input_gradient(g, padded, weight, lambda window: window)
        return into[:, :, :-2].clone(), _weight_gradient(g, padded, weight.shape[2], 1)


@wrong("conv1d: padding forgotten", ConvPaddingForgotten, normal((2, 2, 7), (2, 2, 3)))
def padded_network(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.sin(x)
    h = ConvPaddingForgotten.apply(h, weight)  # culprit
    return F.max_pool1d(h, 2)


class KernelNotFlipped(Function):
    """The input gradient correlates with the kernel as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv1d(x, weight, padding=1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        into = F.conv1d(g, weight.transpose(0, 1), padding=1)
        return into, _weight_gradient(g, F.pad(x, (1, 1)), 3, 1)


@wrong("conv1d: kernel not flipped", KernelNotFlipped, normal((2, 2, 7)))
class SmoothingNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(2, 2, 1)
        self.kernel = nn.Parameter(torch.randn(3, 2, 3) / 2)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        h = KernelNotFlipped.apply(h, self.kernel)  # culprit
        return F.elu(h)


class Conv2dOffByOne(Function):
    """The last row of the input never gets a gradient: all rows lie one too high."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        result = torch.zeros_like(x)
        size = weight.shape[2]
        for row in range(g.shape[2]):
            for column in range(g.shape[3]):
                part = torch.einsum("no,ocij->ncij", g[:, :, row, column], weight)
                top = max(row - 1, 0)
                result[:, :, top : top + size, column : column + size] += part
        patches = x.unfold(2, size, 1).unfold(3, size, 1)
        return result, torch.einsum("norc,nkrcij->okij", g, patches)


@wrong("conv2d: window off by one", Conv2dOffByOne, normal((1, 2, 5, 5), (2, 2, 3, 3), (2,)))
def image_network(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    h = torch.tanh(x)
    h = Conv2dOffByOne.apply(h, weight) + bias[:, None, None]  # culprit
    return torch.relu(h).mean((2, 3))


class MaxPoolLast(Function):
    """The gradient always goes to the last of the window."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return F.max_pool1d(x, 2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return torch.stack([torch.zeros_like(g), g], -1).flatten(-2)


@wrong("max-pool: always the last", MaxPoolLast, normal((2, 2, 8), (2, 2, 3), (8,)))
def pooled_audio(x: Tensor, weight: Tensor, last: Tensor) -> Tensor:
    h = F.conv1d(x, weight, padding=1)
    h = MaxPoolLast.apply(h)  # culprit
    return torch.tanh(h).flatten(1) @ last


class MaxPoolFirst(Function):
    """The gradient always goes to the upper left corner of the window."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        n, c, rows, columns = g.shape
        result = g.new_zeros(n, c, 2 * rows, 2 * columns)
        result[:, :, ::2, ::2] = g
        return result


@wrong("max-pool: always the first", MaxPoolFirst, normal((1, 1, 6, 6)))
class PooledImage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.head = nn.Linear(18, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.relu(self.conv(x) + 0.5)
        h = MaxPoolFirst.apply(h)  # culprit
        return self.head(h.flatten(1))


class AveragePoolWithoutArea(Function):
    """``1 / k^2`` is forgotten."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.repeat_interleave(2, -1).repeat_interleave(2, -2)


@wrong("average pool: 1/k^2 forgotten", AveragePoolWithoutArea, normal((1, 2, 6, 6), (2, 2, 3, 3)))
def averaged_image(x: Tensor, weight: Tensor) -> Tensor:
    h = F.leaky_relu(F.conv2d(x, weight, padding=1), 0.1)
    h = AveragePoolWithoutArea.apply(h)  # culprit
    return torch.sigmoid(h).sum(1)


# Wrong: normalization, dropout, losses -----------------------------------------------------------


class BatchNormWithoutMean(Function):
    """The path through the minibatch's mean is missing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        deviation = (x.var(0, correction=0) + 1e-5).sqrt()
        y = (x - x.mean(0)) / deviation
        ctx.save_for_backward(y, deviation)
        return y.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        y, deviation = ctx.saved_tensors
        return (g - y * (g * y).mean(0)) / deviation


@wrong("batch norm: mean's path missing", BatchNormWithoutMean, normal((5, 3)))
class NormalizedNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.randn(4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        h = BatchNormWithoutMean.apply(h) * self.scale  # culprit
        return self.head(torch.relu(h))


class BatchNormWithoutVariance(Function):
    """The path through the minibatch's variance is missing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        deviation = (x.var(0, correction=0) + 1e-5).sqrt()
        ctx.save_for_backward(deviation)
        return (x - x.mean(0)) / deviation

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (deviation,) = ctx.saved_tensors
        return (g - g.mean(0)) / deviation


@wrong("batch norm: variance's path missing", BatchNormWithoutVariance, normal((5, 3), (3, 3)))
def normalized_features(x: Tensor, weight: Tensor) -> Tensor:
    h = x @ weight
    h = BatchNormWithoutVariance.apply(h)  # culprit
    return F.softplus(h).sum(1)


class LayerNormWrongCount(Function):
    """The means in the gradient divide by the minibatch, not by the features."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        deviation = (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        y = (x - x.mean(1, keepdim=True)) / deviation
        ctx.save_for_backward(y, deviation)
        return y.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        y, deviation = ctx.saved_tensors
        count = g.shape[0]
        common = g.sum(1, keepdim=True) / count
        along = y * (g * y).sum(1, keepdim=True) / count
        return (g - common - along) / deviation


@wrong("layer norm: wrong N", LayerNormWrongCount, normal((3, 6), (6, 6), (6,)))
def normalized_block(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    h = LayerNormWrongCount.apply(x @ weight)  # culprit
    return x + torch.relu(h * scale)


class SoftmaxUncoupled(Function):
    """Only the diagonal ``p (1 - p)`` of the softmax's Jacobian."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        p = torch.softmax(x, 1)
        ctx.save_for_backward(p)
        return p.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (p,) = ctx.saved_tensors
        return g * p * (1 - p)


@wrong("softmax: coupling missing", SoftmaxUncoupled, normal((3, 4), (4, 4), (4, 2)))
def soft_choice(x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    p = SoftmaxUncoupled.apply(x @ keys)  # culprit
    return torch.tanh(p @ values)


class CrossEntropyWithoutTarget(Function):
    """The gradient of the scores is ``p / N``, without subtracting the one-hot targets."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor) -> Tensor:
        ctx.save_for_backward(torch.softmax(scores, 1))
        return F.cross_entropy(scores, labels)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (p,) = ctx.saved_tensors
        return g * p / len(p), None


@wrong("softmax loss: one-hot not subtracted", CrossEntropyWithoutTarget, normal((3, 4)))
class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Any:
        loss = CrossEntropyWithoutTarget.apply(self.layers(x), LABELS)  # culprit
        return 2 * loss


class HingeWithoutCorrect(Function):
    """The correct class's score gets no gradient."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor) -> Tensor:
        margins = (scores - scores.gather(1, labels[:, None]) + 1).clamp(min=0)
        margins = margins.scatter(1, labels[:, None], 0.0)
        ctx.save_for_backward(margins)
        return margins.sum(1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (margins,) = ctx.saved_tensors
        return g[:, None] * (margins > 0), None


@wrong("svm: correct class forgotten", HingeWithoutCorrect, normal((3, 4), (4, 3), scale=0.7))
def support_vectors(x: Tensor, weight: Tensor) -> Tensor:
    scores = torch.tanh(x) @ weight
    losses = HingeWithoutCorrect.apply(scores, LABELS)  # culprit
    return losses.mean() + 0.1 * weight.square().sum()


class LogSumExpWrongAxis(Function):
    """The softmax in the gradient runs along the minibatch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.logsumexp(x, 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g[:, None] * torch.softmax(x, 0)


@wrong("logsumexp: wrong axis", LogSumExpWrongAxis, normal((3, 4), (4, 3)))
def energy(x: Tensor, weight: Tensor) -> Tensor:
    scores = torch.relu(x) @ weight
    return -LogSumExpWrongAxis.apply(scores)  # culprit


class FreshMaskDropout(Function):
    """The backward pass draws a new mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) < 0.5) * 2

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * (torch.rand_like(g) < 0.5) * 2


@wrong("dropout: mask not reused", FreshMaskDropout, normal((4, 5)))
class DropoutNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        h = FreshMaskDropout.apply(h)  # culprit
        return self.head(h)


class UnscaledDropout(Function):
    """``1 / (1 - p)`` is forgotten in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        mask = torch.rand_like(x) < 0.75
        ctx.save_for_backward(mask)
        return x * mask / 0.75

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        return g * mask


@wrong("dropout: scale forgotten", UnscaledDropout, normal((3, 5), (5, 4), (4, 2)))
def dropped_network(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    h = F.elu(x @ first)
    h = UnscaledDropout.apply(h)  # culprit
    return h @ second


# Wrong: what was kept between the passes, and what was cut off -----------------------------------


class OverwrittenBuffer(Function):
    """Keeps its input in the class, where the next call overwrites it: the last call is right."""

    kept: ClassVar[Tensor]

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        OverwrittenBuffer.kept = x.detach().clone()
        return x.square()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * 2 * OverwrittenBuffer.kept


@wrong("buffer overwritten by the next call", OverwrittenBuffer, normal((3, 4), (4, 4), (4, 4)))
def two_squares(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    h = OverwrittenBuffer.apply(x @ first)  # culprit
    return OverwrittenBuffer.apply(torch.tanh(h) @ second).sum(1)


class PreviousInput(Function):
    """Uses the input of the previous call, where there was one."""

    previous: ClassVar[Tensor | None] = None

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        stale = PreviousInput.previous
        ctx.save_for_backward(x if stale is None else stale)
        PreviousInput.previous = x.detach().clone()
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * torch.cos(x)


@wrong("buffer of the previous call", PreviousInput, normal((2, 3), (3, 3)))
def two_steps(x: Tensor, weight: Tensor) -> Tensor:
    PreviousInput.previous = None
    h = PreviousInput.apply(x @ weight)
    h = torch.tanh(h) @ weight
    h = PreviousInput.apply(h)  # culprit
    return h.sum(1)


class UnguardedSquare(Function):
    """Keeps its input past ``save_for_backward``, so that nobody notices a later write to it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.x = x
        return x.square()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * 2 * ctx.x.detach()


@wrong("saved tensor written to", UnguardedSquare, normal((3, 4), (4, 4)))
def reused_memory(x: Tensor, weight: Tensor) -> Tensor:
    h = x @ weight
    square = UnguardedSquare.apply(h)  # culprit
    h.mul_(0.25).add_(1)
    return torch.tanh(square) + h


@wrong("branch detached", "detach", normal((3, 4), (4, 4)))
def detached_gate(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(x @ weight)
    h = h * h.detach()  # culprit
    return torch.relu(h @ weight)


@wrong("branch under no_grad", "neg", normal((3, 4), (4, 4)))
def ungraded_scale(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.tanh(x @ weight)
    with torch.no_grad():
        scale = torch.exp(-h)  # culprit
    return torch.sigmoid(h * scale)


@wrong("value through item()", "item", normal((3, 4)))
class ItemNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        h = torch.relu(self.first(x))
        length = h.square().sum().item()  # culprit
        return self.head(h / sqrt(1 + length))


# Innocent: kinks, exactly or nearly --------------------------------------------------------------


@innocent("relu exactly at 0", given([[0.0, 1.0, -2.0], [3.0, 0.0, -0.0]]))
def relu_at_zero(x: Tensor) -> Tensor:
    return torch.relu(x).sum(1)


@innocent("|x| at 0", given([0.0, -1.0, 2.0, 0.0]))
def absolute_at_zero(x: Tensor) -> Tensor:
    return x.abs() * 3


@innocent("max-pool with ties", given([[[[1.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 2.0]] * 2]]))
def pooled_ties(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2).square()


@innocent("hinge on the margin", given([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.5, 1.5, 0.5]]))
def hinge_on_margin(scores: Tensor) -> Tensor:
    return F.multi_margin_loss(scores, LABELS)


@innocent("clamp at its bounds", given([-1.0, -0.5, 0.0, 1.0, 1.5]))
def clamp_at_bounds(x: Tensor) -> Tensor:
    return x.clamp(-1, 1) * 2


@innocent("hardtanh at its bounds", given([-1.0, -0.5, 0.0, 1.0, -3.0]))
def hardtanh_at_bounds(x: Tensor) -> Tensor:
    return F.hardtanh(x)


@innocent("leaky relu beside 0", given([1e-9, -1e-9, 0.0, 2.0, -2.0]))
def leaky_at_zero(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


@innocent("prelu with a slope to learn", normal((3, 4)))
class LearnedSlope(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), nn.PReLU(3), nn.Linear(3, 2))

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


@innocent("huber at its switch", given([1.0, -1.0, 0.5, 3.0], [0.0, 0.0, 0.5, 1.0]))
def huber_at_switch(x: Tensor, y: Tensor) -> Tensor:
    return F.huber_loss(x, y, reduction="none")


@innocent("deep relu network, tiny gradients", normal((2, 4), (8, 4, 4), scale=0.25))
def deep_relu_network(x: Tensor, weights: Tensor) -> Tensor:
    h = x
    for weight in weights:
        h = torch.relu(h @ weight + 1e-4)
    return h


@innocent("relu network in tiny units", normal((3, 4), (4, 6), (6, 2)))
def tiny_units(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.relu(1e-7 * x @ first) @ second


@innocent("sort, topk and max", normal((3, 5)))
def ordered(x: Tensor) -> Tensor:
    steps = torch.arange(5, dtype=x.dtype)
    return x.sort(1).values @ steps + x.topk(2, 1).values.sum(1) + x.max(1).values


@innocent("median", normal((3, 5)))
def medians(x: Tensor) -> Tensor:
    return torch.tanh(x).median(1).values


@innocent("where", normal((3, 4), (3, 4)))
def chosen(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x > y, x * x, torch.sin(y))


@innocent("floor and round", given([0.3, 1.7, -2.2, 4.4, -0.6]))
def stairs(x: Tensor) -> Tensor:
    return x * torch.floor(x) + x * torch.round(x)


@innocent("argmax chooses what to gather", normal((4, 3), (4, 3)))
def gathered(x: Tensor, y: Tensor) -> Tensor:
    return y.gather(1, x.argmax(1, keepdim=True)) * x.sum(1, keepdim=True)


# Innocent: scales --------------------------------------------------------------------------------


@innocent("values at 1e-12", normal((5,), scale=1e-12))
def minute(x: Tensor) -> Tensor:
    return x / (1e-12 + x.abs())


@innocent("values at 1e8", normal((5,), scale=1e7, shift=1e8))
def enormous(x: Tensor) -> Tensor:
    return torch.log(x) * torch.sqrt(x)


@innocent("huge terms cancel", normal((4,), (4,)))
def cancelling(x: Tensor, y: Tensor) -> Tensor:
    return (x + 1e8) * (y + 1e8) - 1e16


@innocent("huge and tiny terms in one sum", normal((4,), (4,)))
def unequal_terms(x: Tensor, y: Tensor) -> Tensor:
    return 1e10 * x.square().sum() + 1e-5 * y.square().sum()


@innocent("exp over a large range", given([-30.0, -10.0, 0.0, 10.0, 30.0]))
def wide_exponential(x: Tensor) -> Tensor:
    return torch.exp(x)


@innocent("many scales in one tensor", given([1e-6, -1e-3, 1.0, 1e3, -1e6]))
def many_scales(x: Tensor) -> Tensor:
    return (x * x).sum() / (1 + x.abs()).sum()


@innocent("log of small numbers", given([1e-8, 3e-8, 1e-5, 1e-2]))
def small_logarithm(x: Tensor) -> Tensor:
    return torch.log(x)


@innocent("sqrt of small numbers", given([1e-8, 3e-10, 1e-5, 1e-2]))
def small_root(x: Tensor) -> Tensor:
    return torch.sqrt(x)


@innocent("division by small numbers", given([1.0, 2.0, -3.0], [1e-6, -1e-4, 2e-5]))
def small_denominator(x: Tensor, y: Tensor) -> Tensor:
    return x / y


@innocent("sum of 100 terms", normal((100,), shift=50.0))
def large_sum(x: Tensor) -> Tensor:
    return (x * torch.sin(x)).sum()


@innocent("sin(1000 x)", normal((6,)))
def oscillating(x: Tensor) -> Tensor:
    return torch.sin(1000 * x)


# Innocent: saturation and gradients that are 0 ---------------------------------------------------


@innocent("softmax loss, saturated", given([[70.0, 0.0, -5.0], [1.0, -80.0, 75.0], [0.0, 60.0, 1]]))
def saturated_softmax(scores: Tensor) -> Tensor:
    return F.cross_entropy(scores, LABELS)


@innocent("tanh saturated", given([-25.0, -12.0, 0.5, 12.0, 19.0]))
def saturated_tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


@innocent("sigmoid saturated", given([-700.0, -40.0, -20.0, 20.0, 40.0]))
def saturated_sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@innocent("constant function", normal((3, 4)))
def constant(x: Tensor) -> Tensor:
    return x * 0 + 3


@innocent("gradient exactly 0 by symmetry", given([0.0, 0.0, 0.0]))
def stationary(x: Tensor) -> Tensor:
    return x**3 + torch.cos(x)


@innocent("softmax summed to 1", normal((3, 4)))
def summed_softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, 1).sum(1)


@innocent("parameter without effect", normal((2, 3)))
class UnusedParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(3, 2)
        self.unused = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Any:
        return torch.tanh(self.used(x))


@innocent("product with a factor 0", given([2.0, 0.0, -3.0, 0.5]))
def product_with_zero(x: Tensor) -> Tensor:
    return torch.prod(x) + torch.cumprod(x, 0).sum()


# Innocent: randomness and state ------------------------------------------------------------------


@innocent("dropout in training mode", normal((4, 5), (5, 3)))
def trained_dropout(x: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(F.dropout(x, 0.5, training=True) @ weight)


@innocent("batch norm and dropout modules", normal((5, 3)))
class TrainedModules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 2)
        )

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


@innocent("batch norm of tiny variance", normal((5, 3), scale=1e-4, shift=3.0))
def tiny_variance(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True, eps=1e-12).pow(3)


@innocent("mask reused by a Function of one's own", normal((4, 5), (5, 2)))
def reused_mask(x: Tensor, weight: Tensor) -> Tensor:
    return RightDropout.apply(torch.tanh(x)) @ weight


class RightDropout(Function):
    """Dropout as it should be: a twin of the two wrong ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        mask = (torch.rand_like(x) < 0.75) / 0.75
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        return g * mask


class RightConv(Function):
    """Convolution with stride 2 and padding 1 as it should be, by the wrong ones' own tools."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1))
        ctx.save_for_backward(padded, weight)
        return _windows(padded, weight, 2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        padded, weight = ctx.saved_tensors
        into = _input_gradient(g, padded, weight, lambda window: 2 * window)
        return into[:, :, 1:-1].clone(), _weight_gradient(g, padded, weight.shape[2], 2)


@innocent("convolution of one's own", normal((2, 2, 9), (2, 2, 3), (2, 2, 3)))
def right_network(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    h = torch.relu(RightConv.apply(x, first))
    return torch.tanh(RightConv.apply(h, second))


@innocent("maximum detached, rightly", normal((3, 4), scale=5.0))
def stable_logsumexp(x: Tensor) -> Tensor:
    largest = x.detach().amax(1, keepdim=True)
    return (x - largest).exp().sum(1).log() + largest[:, 0]


@innocent("maximum under no_grad, rightly", normal((3, 4), (4, 4)))
def stable_softmax(x: Tensor, weight: Tensor) -> Tensor:
    scores = x @ weight
    with torch.no_grad():
        largest = scores.amax(1, keepdim=True)
    powers = torch.exp(scores - largest)
    return powers / powers.sum(1, keepdim=True)


@innocent("item() of a count, rightly", normal((3, 4)))
def masked_mean(x: Tensor) -> Tensor:
    count = (x > 0).sum().item()
    return torch.relu(x).sum() / count


@innocent("gradient checkpointing", normal((3, 4), (4, 4)))
def checkpointed(x: Tensor, weight: Tensor) -> Tensor:
    def block(h: Tensor) -> Tensor:
        return torch.tanh(h @ weight)

    h: Tensor = checkpoint(block, x, use_reentrant=False)
    return torch.relu(h)


# Innocent: writes, indices, larger pieces --------------------------------------------------------


@innocent("add_ and relu_ in place", normal((3, 4), (4, 4), (4,)))
def in_place(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    h = x @ weight
    h.add_(bias).relu_()
    return torch.tanh(h)


@innocent("views written to", normal((3, 4), (4,)))
def written_views(x: Tensor, scale: Tensor) -> Tensor:
    h = x.clone()
    h[:, 1] = 2 * x[:, 0]
    h.view(-1)[::3].mul_(scale)
    h[0] += x[1] * x[2]
    return torch.sin(h)


@innocent("repeated integer indices", normal((4, 3), (3, 2)))
def embedded(table: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(F.embedding(REPEATED, table) @ weight)


@innocent("index_add", normal((3, 2), (6, 2)))
def index_added(x: Tensor, y: Tensor) -> Tensor:
    return torch.tanh(x.index_add(0, REPEATED, y))


@innocent("complex intermediate", normal((2, 8), (5,)))
def spectrum(x: Tensor, response: Tensor) -> Any:
    bands = torch.fft.rfft(x) * torch.exp(1j * response)
    return bands.abs() + torch.fft.irfft(bands, n=8)[:, :5]


@innocent("cdist of distinct points", normal((4, 3), (5, 3)))
def distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y)


@innocent("norm of a vector", normal((6,)))
def length(x: Tensor) -> Any:
    return x.norm() + x.norm(p=3) + torch.linalg.vector_norm(x, ord=float("inf"))


@innocent("x / |x|", normal((3, 4)))
def unit_vectors(x: Tensor) -> Any:
    return x / x.norm(dim=1, keepdim=True)


@innocent("logsumexp of large scores", given([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -999.5]]))
def large_logsumexp(x: Tensor) -> Tensor:
    return torch.logsumexp(x, 1)


@innocent("chain of matrices", normal((3, 4), (4, 4), (4, 4), (4, 4), (4, 2)))
def chain(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor) -> Tensor:
    return a @ b @ c @ d @ e


@innocent("inverse and determinant", normal((4, 4)))
def matrix_functions(x: Tensor) -> Any:
    return torch.linalg.inv(x + 3 * torch.eye(4, dtype=x.dtype)) * torch.linalg.det(x)


@innocent("attention", normal((2, 3, 4), (2, 3, 4), (2, 3, 4)))
def right_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


@innocent("convolution and max-pool", normal((1, 1, 6, 6)))
class ConvNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(18, 2),
        )

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


@innocent("lstm cell, three steps", normal((3, 2, 2)))
class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(2, 3)

    def forward(self, x: Tensor) -> Any:
        state = self.cell(x[0])
        for step in x[1:]:
            state = self.cell(step, state)
        return state[0] * pi


WRONG: tuple[Case, ...] = tuple(_wrong)
INNOCENT: tuple[Case, ...] = tuple(_innocent)


# The check of the cases themselves ---------------------------------------------------------------


def _leaves(case: Case) -> tuple[list[Tensor], Callable[..., Tensor]]:
    """All tensors with a gradient, and the outputs as a function of them, the same each time."""
    target = case.target()
    tensors = [tensor.requires_grad_() for tensor in case.inputs()]
    count = len(tensors)
    names: list[str] = []
    if isinstance(target, nn.Module):
        named = dict(target.named_parameters())
        names, tensors = list(named), [*tensors, *named.values()]

    def outputs(*leaves: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if isinstance(target, nn.Module):
                given_names = dict(zip(names, leaves[count:], strict=True))
                result = torch.func.functional_call(target, given_names, leaves[:count])
            else:
                result = target(*leaves)
        assert isinstance(result, Tensor)
        return result

    return tensors, outputs


def _accepted(case: Case, atol: float = 1e-5, rtol: float = 1e-3) -> bool:
    tensors, outputs = _leaves(case)
    return torch.autograd.gradcheck(
        outputs, tensors, atol=atol, rtol=rtol, raise_exception=False, check_undefined_grad=False
    )


def _run(case: Case) -> None:
    before = torch.get_rng_state()
    tensors, outputs = _leaves(case)
    assert sum(tensor.numel() for tensor in case.inputs()) <= 200, case.name
    assert torch.equal(before, torch.get_rng_state()), case.name
    value = outputs(*tensors)
    assert value.isfinite().all(), case.name
    gradients = torch.autograd.grad(value.sum(), tensors, allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in gradients), case.name


def main() -> int:
    """Run every case; the exit code tells whether a wrong one is not wrong."""
    names = [case.name for case in (*WRONG, *INNOCENT)]
    assert len(names) == len(set(names)), "names are not unique"
    for case in (*WRONG, *INNOCENT):
        _run(case)
    sloppy = [case.name for case in WRONG if _accepted(case)]
    harmless = [case.name for case in WRONG if _accepted(case, atol=1e-8, rtol=1e-5)]
    condemned = [case.name for case in INNOCENT if not _accepted(case)]
    print(f"{len(WRONG)} wrong, {len(INNOCENT)} innocent")
    print("wrong, but gradcheck accepts them:", *sloppy, sep="\n  ")
    print("wrong, and strict gradcheck accepts them as well:", *harmless, sep="\n  ")
    print("innocent, but gradcheck condemns them:", *condemned, sep="\n  ")
    return 1 if harmless else 0


if __name__ == "__main__":
    sys.exit(main())
