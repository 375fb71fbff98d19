"""Batch normalization by hand, proved by PyTorch's own layer; with dropout from its neighbour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families import batchnorm_layers, dropping
from chainrule.study.practice.families.drawing import (
    inner,
    mistaken,
    ordinal,
    quarters,
    row,
    shown,
    signed,
    until,
)
from chainrule.study.practice.question import Draft, Family

_BIASED = "the variance in training is the biased one, divided by the size of the minibatch"
_EPSILON = "epsilon is added to the variance, inside the root"
_NOTHING = 1e-14  # PyTorch refuses an epsilon of 0 in training
_TRAINED = "PyTorch's BatchNorm1d in training mode"
_EVALUATED = "PyTorch's BatchNorm1d in evaluation mode"
# minibatches of mean 0 whose standard deviation is whole
_PATTERNS = ((-1, 1, -1, 1), (-4, 1, 1, 1, 1), (4, -1, -1, -1, -1), (1, 1, -1, -1), (2, -2))


@dataclass(frozen=True)
class _Minibatch:
    """Values of one feature and the layer they go through."""

    values: tuple[float, ...]
    gamma: float
    beta: float
    epsilon: float

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def variance(self) -> float:
        return sum((x - self.mean) ** 2 for x in self.values) / len(self.values)

    @property
    def unbiased(self) -> float:
        return self.variance * len(self.values) / (len(self.values) - 1)

    @property
    def root(self) -> float:
        return math.sqrt(self.variance + self.epsilon)

    def normalized(self, place: int) -> float:
        return (self.values[place] - self.mean) / self.root

    def layer(self) -> nn.BatchNorm1d:
        """The real layer, in float64 and in training mode."""
        layer = nn.BatchNorm1d(1, eps=self.epsilon).double()
        nn.init.constant_(layer.weight, self.gamma)
        nn.init.constant_(layer.bias, self.beta)
        return layer

    def inputs(self) -> Tensor:
        """(N, 1)"""
        return torch.tensor(self.values, dtype=torch.float64)[:, None]

    @property
    def settings(self) -> str:
        epsilon = f"= {shown(self.epsilon)}" if self.epsilon > _NOTHING else "too small to matter"
        return f"gamma = {shown(self.gamma)}, beta = {shown(self.beta)}, epsilon {epsilon}"


def _easy(drawn: Random) -> _Minibatch:
    """A minibatch whose standard deviation is whole, and next to no epsilon."""
    mean, spread, pattern = drawn.randint(-5, 9), drawn.randint(2, 4), drawn.choice(_PATTERNS)
    values = tuple(float(mean + spread * item) for item in drawn.sample(pattern, len(pattern)))
    return _Minibatch(values, drawn.choice((2.0, 3.0, 0.5)), quarters(drawn, -2, 2, 0.5), _NOTHING)


def _harder(drawn: Random) -> _Minibatch:
    values = until(
        lambda: tuple(float(drawn.randint(-4, 8)) for _ in range(drawn.choice((3, 4, 5)))),
        lambda found: len(set(found)) > 2,
    )
    epsilon = drawn.choice((0.25, 0.5, 1.0))
    return _Minibatch(values, drawn.choice((2.0, 1.5, 0.5)), quarters(drawn, -2, 2, 0.5), epsilon)


def _output(drawn: Random, level: int) -> Draft:
    place = 0

    def draw() -> _Minibatch:
        return _easy(drawn) if level == 1 else _harder(drawn)

    def output(batch: _Minibatch) -> float:
        return batch.gamma * batch.normalized(place) + batch.beta

    batch = until(draw, lambda one: min(abs(output(one)), abs(one.normalized(place))) > 0.2)
    right, x, mean = output(batch), batch.values[place], batch.mean
    with torch.no_grad():
        proved = float(batch.layer()(batch.inputs())[place])
    return Draft(
        text=f"A batchnorm layer in training mode gets a minibatch of {len(batch.values)} "
        f"examples; a feature has the values `{row(batch.values)}`. {batch.settings}. What does "
        f"the layer give for the {ordinal(place)} example?",
        conventions=(_BIASED, _EPSILON),
        expected=Number(right),
        proved=proved,
        way=_TRAINED,
        mistakes=mistaken(
            (batch.normalized(place), "forgets gamma and beta"),
            (batch.gamma * (x - mean) / math.sqrt(batch.unbiased + batch.epsilon) + batch.beta,
             "divides by the unbiased standard deviation"),
            (batch.gamma * (x - mean) / (batch.variance + batch.epsilon) + batch.beta,
             "divides by the variance instead of its root"),
            (batch.gamma * (x - mean) / (math.sqrt(batch.variance) + batch.epsilon) + batch.beta,
             "adds epsilon outside the root"),
            (batch.gamma * x / batch.root + batch.beta, "forgets to subtract the mean"),
            (batch.gamma * (batch.normalized(place) + batch.beta), "adds beta before gamma"),
        ),
        solution=(
            f"mean = {shown(mean)}, biased variance = {shown(batch.variance)}",
            f"normalized: ({shown(x)} - {inner(mean)}) / {shown(batch.root)} = "
            f"{shown(batch.normalized(place))}, where {shown(batch.root)} is the root of variance "
            "and epsilon",
            f"{shown(batch.gamma)} * {inner(batch.normalized(place))} {signed(batch.beta)} = "
            f"{shown(right)}",
        ),
        experiment="batchnorm-regularizes",
    )  # fmt: skip


def _gradients(batch: _Minibatch, upstream: list[float]) -> tuple[float, float, float]:
    """dL/dgamma, dL/dbeta and dL/dx of the first example, by autograd through the layer."""
    layer, inputs = batch.layer(), batch.inputs().requires_grad_()
    layer(inputs).backward(torch.tensor(upstream, dtype=torch.float64)[:, None])
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    assert inputs.grad is not None
    return float(layer.weight.grad), float(layer.bias.grad), float(inputs.grad[0])


def _gradient(drawn: Random, level: int) -> Draft:
    return _gradient_of_parameters(drawn) if level == 2 else _gradient_of_input(drawn)


def _with_upstream(drawn: Random) -> tuple[_Minibatch, list[float]]:
    """Gradients that come out neither 0 nor all alike."""

    def draw() -> tuple[_Minibatch, list[float]]:
        batch = _easy(drawn)
        return batch, [float(drawn.randint(-3, 3)) for _ in batch.values]

    def fine(found: tuple[_Minibatch, list[float]]) -> bool:
        batch, upstream = found
        if len(batch.values) < 4 or not upstream[0]:
            return False
        return all(abs(value) > 0.02 for value in _gradients(batch, upstream))

    return until(draw, fine)


def _gradient_of_parameters(drawn: Random) -> Draft:
    batch, upstream = _with_upstream(drawn)
    normalized = [batch.normalized(place) for place in range(len(batch.values))]
    gamma = sum(g * x for g, x in zip(upstream, normalized, strict=True))
    beta, count = sum(upstream), len(upstream)
    raw = sum(g * x for g, x in zip(upstream, batch.values, strict=True))
    centred = sum(g * (x - batch.mean) for g, x in zip(upstream, batch.values, strict=True))
    return Draft(
        text=f"A feature has the values `{row(batch.values)}` in a minibatch. A batchnorm layer in "
        f"training mode ({batch.settings}) gives y, and the upstream gradient `dL/dy` of the "
        f"examples is `{row(upstream)}`. Give `[dL/dgamma, dL/dbeta]` of this feature.",
        conventions=(_BIASED, _EPSILON, "y = gamma * x_normalized + beta"),
        expected=Vector((gamma, beta)),
        proved=_gradients(batch, upstream)[:2],
        way="autograd through PyTorch's BatchNorm1d",
        mistakes=mistaken(
            ([raw, beta], "takes the inputs before they are normalized"),
            ([centred, beta], "forgets to divide by the standard deviation"),
            ([gamma / count, beta / count], "takes the mean over the minibatch instead of the sum"),
            ([beta, gamma], "swaps gamma and beta"),
            ([gamma * batch.gamma, beta], "multiplies by gamma once more"),
        ),
        solution=(
            f"normalized inputs: {row(normalized)}",
            f"dL/dgamma = sum of dL/dy times normalized input = {shown(gamma)}",
            f"dL/dbeta = sum of dL/dy = {shown(beta)}",
            f"[{shown(gamma)}, {shown(beta)}]",
        ),
    )  # fmt: skip


def _gradient_of_input(drawn: Random) -> Draft:
    batch, upstream = _with_upstream(drawn)
    count = len(upstream)
    normalized = [batch.normalized(place) for place in range(count)]
    mean = sum(upstream) / count
    along = sum(g * x for g, x in zip(upstream, normalized, strict=True)) / count
    factor = batch.gamma / batch.root
    right = factor * (upstream[0] - mean - normalized[0] * along)
    return Draft(
        text=f"A feature has the values `{row(batch.values)}` in a minibatch. A batchnorm layer in "
        f"training mode ({batch.settings}) gives y, and the upstream gradient `dL/dy` of the "
        f"examples is `{row(upstream)}`. What is `dL/dx` of the first example?",
        conventions=(_BIASED, _EPSILON, "mean and variance depend on all x of the minibatch"),
        expected=Number(right),
        proved=_gradients(batch, upstream)[2],
        way="autograd through PyTorch's BatchNorm1d",
        mistakes=mistaken(
            (factor * upstream[0], "takes mean and variance for constants, as in evaluation"),
            (factor * (upstream[0] - mean), "forgets the way through the variance"),
            (factor * (upstream[0] - normalized[0] * along), "forgets the way through the mean"),
            (right / batch.gamma, "forgets gamma"),
            (right * batch.root, "forgets to divide by the standard deviation"),
        ),
        solution=(
            f"normalized inputs: {row(normalized)}, standard deviation {shown(batch.root)}",
            f"mean of dL/dy = {shown(mean)}; mean of dL/dy times normalized input = {shown(along)}",
            f"{shown(batch.gamma)} / {shown(batch.root)} * ({shown(upstream[0])} - {inner(mean)} - "
            f"{inner(normalized[0])} * {inner(along)}) = {shown(right)}",
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class _Kept:
    """A layer with its running averages, in evaluation mode."""

    x: float
    mean: float
    variance: float
    gamma: float
    beta: float

    def output(self) -> float:
        return self.gamma * (self.x - self.mean) / math.sqrt(self.variance) + self.beta

    def layer(self) -> nn.BatchNorm1d:
        layer = _Minibatch((), self.gamma, self.beta, 0.0).layer().eval()
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.fill_(self.mean)
        layer.running_var.fill_(self.variance)
        return layer

    @property
    def told(self) -> str:
        return (
            f"running mean {shown(self.mean)}, running variance {shown(self.variance)}, gamma = "
            f"{shown(self.gamma)}, beta = {shown(self.beta)}, epsilon = 0"
        )


def _kept(drawn: Random) -> _Kept:
    def draw() -> _Kept:
        return _Kept(
            float(drawn.randint(-6, 9)), float(drawn.randint(-3, 4)),
            float(drawn.choice((4, 9, 16, 25))), drawn.choice((0.5, 2.0, 3.0)),
            quarters(drawn, -2, 2, 0.5),
        )  # fmt: skip

    return until(draw, lambda one: one.mean not in (0, one.x) and abs(one.output()) > 0.1)


def _evaluation(drawn: Random, level: int) -> Draft:
    return _in_evaluation(drawn) if level == 1 else _folded(drawn)


def _in_evaluation(drawn: Random) -> Draft:
    one = _kept(drawn)
    others = [float(drawn.randint(-6, 9)) for _ in range(3)]
    right, root = one.output(), math.sqrt(one.variance)
    with torch.no_grad():
        inputs = torch.tensor([one.x, *others], dtype=torch.float64)[:, None]
        proved = float(one.layer()(inputs)[0])
    batch = _Minibatch((one.x, *others), one.gamma, one.beta, 1e-9)
    return Draft(
        text=f"A batchnorm layer in evaluation mode has for a feature: {one.told}. The minibatch "
        f"has the values `{row([one.x, *others])}`. What does it give for the first example?",
        conventions=("the running variance is used as it stands", _EPSILON),
        expected=Number(right),
        proved=proved,
        way=_EVALUATED,
        mistakes=mistaken(
            (one.gamma * batch.normalized(0) + one.beta, "normalizes by the minibatch itself"),
            (one.gamma * (one.x - one.mean) / one.variance + one.beta,
             "divides by the variance instead of its root"),
            ((one.x - one.mean) / root, "forgets gamma and beta"),
            (one.gamma * one.x / root + one.beta, "forgets to subtract the running mean"),
            (one.gamma * ((one.x - one.mean) / root + one.beta), "adds beta before gamma"),
        ),
        solution=(
            "in evaluation mode the other examples do not matter",
            f"{shown(one.gamma)} * ({shown(one.x)} - {inner(one.mean)}) / sqrt("
            f"{shown(one.variance)}) {signed(one.beta)} = {shown(right)}",
        ),
        experiment="batchnorm-regularizes",
    )  # fmt: skip


def _folded(drawn: Random) -> Draft:
    """The layer before takes over what a batchnorm layer in evaluation mode does."""
    one, weight, bias = _kept(drawn), quarters(drawn, -3, 3, 0.5), quarters(drawn, -4, 4, 0.5)
    root = math.sqrt(one.variance)
    factor = one.gamma / root
    shift = factor * (bias - one.mean) + one.beta
    with torch.no_grad():  # an affine function is known by its values at 0 and 1
        at = one.layer()(torch.tensor([[bias], [weight + bias]], dtype=torch.float64)).flatten()
    return Draft(
        text=f"A unit computes `z = {shown(weight)} * x {signed(bias)}`; behind it stands a "
        f"batchnorm layer in evaluation mode with {one.told}. Both together are `w * x + b`. "
        "Give `[w, b]`.",
        conventions=("the running variance is used as it stands", _EPSILON),
        expected=Vector((factor * weight, shift)),
        proved=(float(at[1] - at[0]), float(at[0])),
        way=f"{_EVALUATED} at x = 0 and x = 1",
        mistakes=mistaken(
            ([factor * weight, factor * bias + one.beta], "forgets the running mean"),
            ([factor * weight, bias - one.mean + one.beta], "does not scale the bias"),
            ([one.gamma / one.variance * weight, one.gamma / one.variance * (bias - one.mean)
              + one.beta], "divides by the variance instead of its root"),
            ([factor * weight, one.beta], "thinks that the bias is subtracted with the mean, "
             "which is so in training only"),
            ([weight / root, (bias - one.mean) / root], "forgets gamma and beta"),
        ),
        solution=(
            f"gamma / sqrt(variance) = {shown(one.gamma)} / {shown(root)} = {shown(factor)}",
            f"w = {shown(factor)} * {inner(weight)} = {shown(factor * weight)}",
            f"b = {shown(factor)} * ({shown(bias)} - {inner(one.mean)}) {signed(one.beta)} = "
            f"{shown(shift)}",
            f"[{shown(factor * weight)}, {shown(shift)}]",
        ),
    )  # fmt: skip


FAMILIES = (
    Family("batchnorm-output", "batchnorm", "output of batchnorm in training", (1, 2), _output),
    Family("batchnorm-gradient", "batchnorm", "gradient through batchnorm", (2, 3), _gradient),
    Family("batchnorm-evaluation", "batchnorm", "batchnorm in evaluation", (1, 2), _evaluation),
    *batchnorm_layers.FAMILIES,
    *dropping.FAMILIES,
)  # fmt: skip
