"""Surface: the data loss of a network over its trainable weights, laid end to end in one vector.

Its value, its gradient, and products of its Hessian with a vector by a second backward pass
(B. A. Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 1994).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from chainrule.analysis.twin import with_weights
from chainrule.derivation.rules import RULES
from chainrule.errors import GradientError
from chainrule.gradients.kinks import Watch
from chainrule.gradients.problem import Values, floats_of

Loss = Callable[..., Any]
Data = tuple[Tensor, Tensor]
_KINKED = frozenset(rule.name for rule in RULES if rule.kink)


@dataclass(eq=False)
class Surface:
    """The loss as a function of a point: all trainable weights, those that are tied once.

    Attributes:
        module: a copy that may be kept; it runs with other weights and with copies of its buffers.
        loss: scores and targets to one number.
        dtype: what is computed in; the copy is converted.
        seed: what random numbers of the network are drawn from, anew at each evaluation.
    """

    module: nn.Module
    loss: Loss
    dtype: torch.dtype
    seed: int = 0
    leaves: Values = field(init=False)
    fixed: Values = field(init=False)

    def __post_init__(self) -> None:
        self.module.to(self.dtype)
        named = dict(self.module.named_parameters())
        self.leaves = {name: item.detach() for name, item in named.items() if item.requires_grad}
        frozen = {name: item.detach() for name, item in named.items() if name not in self.leaves}
        buffers = {name: item.detach() for name, item in self.module.named_buffers()}
        self.fixed = {**frozen, **buffers}

    @property
    def point(self) -> Tensor:
        """(n,) the weights as they are."""
        return torch.cat([leaf.reshape(-1) for leaf in self.leaves.values()])

    def value(self, point: Tensor, data: Data) -> float:
        """The loss at a point (n,), of examples (inputs, targets); may be infinite or nan."""
        with torch.no_grad():
            return float(self._loss(self._named(point), data))

    def gradient(self, point: Tensor, data: Data, draw: int = 0) -> Tensor:
        """(n,) gradient of the loss at a point; random numbers are drawn by ``seed + draw``."""
        live = _live(self._named(point))
        return _flat(_gradients(self._loss(live, data, draw), live, create_graph=False))

    def tangent(self, point: Tensor, data: Data) -> Tangent:
        """Value, gradient and Hessian-vector products at a point.

        Raises:
            GradientError: the loss is not finite, or depends on no trainable weight.
        """
        live = _live(self._named(point))
        loss = self._loss(live, data)
        if not bool(torch.isfinite(loss)):
            raise GradientError(
                f"the loss is {float(loss.detach())} at these weights, wants a finite one: look at "
                "the inputs and the scale of the weights, or give dtype='float64'"
            )
        gradient = _flat(_gradients(loss, live, create_graph=True))
        return Tangent(float(loss.detach()), gradient, live, custom_functions(loss))

    def draws(self, data: Data) -> bool:
        """Whether the loss draws random numbers (dropout)."""
        seed_everything(self.seed)
        before = torch.get_rng_state()
        self.value(self.point, data)
        return not torch.equal(before, torch.get_rng_state())

    def kinks(self, data: Data) -> tuple[str, ...]:
        """Names of the operations with kinks (ReLU, max-pooling, hinges) on the way to the loss."""
        with Watch() as seen:
            self.value(self.point, data)
        pooled = {"max_pool" for name, _ in seen.pieces if "max_pool" in name}  # tells by winners
        return tuple(sorted(pooled | ({name for name, _ in seen.pieces} & _KINKED)))

    def _named(self, point: Tensor) -> Values:
        parts = torch.split(point, [leaf.numel() for leaf in self.leaves.values()])
        pairs = zip(self.leaves.items(), parts, strict=True)
        return {name: part.view(leaf.shape) for (name, leaf), part in pairs}

    def _scores(self, leaves: Values, inputs: Tensor, draw: int) -> Tensor:
        seed_everything(self.seed + draw)
        state = leaves | {name: item.clone() for name, item in self.fixed.items()}
        with sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
            found = floats_of(functional_call(self.module, state, (inputs.clone(),)))
        if not found:
            raise GradientError("the network gives no tensor of floats, a loss wants scores")
        return found[0]

    def _loss(self, leaves: Values, data: Data, draw: int = 0) -> Tensor:
        value = self.loss(self._scores(leaves, data[0], draw), data[1])
        if isinstance(value, Tensor) and value.dim() == 0:
            return value
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise GradientError(f"loss gives {got}, wants one number: take its mean")


@dataclass(eq=False)
class Tangent:
    """Value and gradient of the loss at a point, with the graph that gives its Hessian.

    Attributes:
        loss: its value.
        gradient: (n,) with its graph.
        live: the weights that the graph begins with.
        custom: names of the autograd functions in it that are not PyTorch's own.
    """

    loss: float
    gradient: Tensor
    live: Values
    custom: tuple[str, ...]

    def product(self, vector: Tensor) -> Tensor:
        """(n,) Hessian times a vector (n,): the gradient of <gradient, vector>.

        Raises:
            GradientError: the gradient cannot be differentiated, or the product is not finite.
        """
        if not self.gradient.requires_grad:  # the loss is linear in the weights
            return torch.zeros_like(vector)
        try:
            found = torch.autograd.grad(
                self.gradient, list(self.live.values()), vector, retain_graph=True,
                allow_unused=True, materialize_grads=True,
            )  # fmt: skip
        except RuntimeError as error:
            raise GradientError(_once_only(str(error))) from error
        product = _flat(found)
        if not bool(torch.isfinite(product).all()):
            raise GradientError(
                "the Hessian is not finite at these weights (a square root or a norm at 0 has no "
                "second derivative): add a small constant there, or leave the weights at 0"
            )
        return product


def second_derivative_error(
    surface: Surface, data: Data, vector: Tensor, custom: tuple[str, ...]
) -> float:
    """Hessian-vector products against central differences of gradients, both in float64.

    PyTorch's own operations have a second derivative or say that they have none. A backward of
    the user's may leave it out and say nothing; its share of the Hessian is then 0.

    Args:
        surface: the loss.
        data: inputs and targets.
        vector: (n,) a direction to compare along, besides two random ones.
        custom: names of the user's autograd functions in it.

    Returns:
        The largest relative difference along the three; 1e-6 is usual, by rounding. A kink
        within 1e-8 of the weights shows here.

    Raises:
        GradientError: the backward of a function of the user's cannot be differentiated.
    """
    double = Surface(with_weights(surface.module), surface.loss, torch.float64, surface.seed)
    wide: Data = (_double(data[0]), _double(data[1]))
    generator = torch.Generator().manual_seed(surface.seed)
    others = [torch.randn(vector.shape, generator=generator, dtype=torch.float64) for _ in "ab"]
    errors = sorted(_difference(double, wide, item) for item in (vector.double(), *others))
    if custom and errors[1] > 1e-3:  # a kink may spoil one
        raise GradientError(
            f"target uses {', '.join(custom)}, whose backward has no second derivative (the "
            f"Hessian differs by {errors[1]:.0%} from differences of the gradient): write its "
            "backward with differentiable operations of saved tensors"
        )
    return errors[-1]


def _difference(surface: Surface, data: Data, vector: Tensor) -> float:
    point, vector = surface.point, vector / vector.norm()
    step = 1e-8 * max(float(point.norm()), 1.0)  # so small that few kinks lie in between
    ahead = surface.gradient(point + step * vector, data)
    slope = (ahead - surface.gradient(point - step * vector, data)) / (2 * step)
    product = surface.tangent(point, data).product(vector)
    rounding = torch.finfo(point.dtype).eps * float(ahead.norm()) / step
    size = max(float(slope.norm()), float(product.norm()), 1e4 * rounding)
    return float((slope - product).norm()) / size if size else 0.0


def custom_functions(loss: Tensor) -> tuple[str, ...]:
    """Names of the ``torch.autograd.Function`` classes in the graph of a loss.

    Examples:
        >>> custom_functions(torch.ones(2, requires_grad=True).exp().sum())
        ()
    """
    kind = torch.autograd.function.BackwardCFunction
    names = (type(node).__name__ for node in _nodes(loss.grad_fn) if isinstance(node, kind))
    return tuple(sorted({name.removesuffix("Backward") for name in names}))


def _nodes(root: Any) -> Iterator[Any]:
    seen: set[Any] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting.extend(before for before, _ in node.next_functions)
        yield node


def seed_everything(seed: int) -> None:
    """Seed the CPU's generators alone: ``torch.manual_seed`` would touch those of accelerators."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _live(leaves: Values) -> Values:
    return {name: leaf.detach().clone().requires_grad_() for name, leaf in leaves.items()}


def _gradients(loss: Tensor, live: Values, create_graph: bool) -> tuple[Tensor, ...]:
    if not loss.requires_grad:
        raise GradientError(
            "the loss depends on no trainable parameter that autograd follows (a detach or a "
            "no_grad lies between them): take it away"
        )
    return torch.autograd.grad(
        loss, list(live.values()), create_graph=create_graph, allow_unused=True,
        materialize_grads=True,
    )  # fmt: skip


def _once_only(reason: str) -> str:
    words = reason.splitlines()[0].rstrip(".")
    return (
        f"target has no second derivative ({words}): write that backward with differentiable "
        "operations, or replace the operation"
    )


def _flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
