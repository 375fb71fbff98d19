"""Problem: a function of named tensors whose gradient is asked for.

Outputs that are not one number are checked in the form of a vector-Jacobian product: with a
fixed random upstream gradient v, ``sum(v * f(x))`` has the gradient ``v^T J``, and an error in any
element of the Jacobian J shows in it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.errors import GradientError
from chainrule.gradients.prefix import Prefix

Values = dict[str, Tensor]
Function = Callable[[Values], Any]


@dataclass(eq=False)
class Problem:
    """A function, the tensors it is differentiated by, and the gradient in question.

    Attributes:
        name: how the function is called.
        leaves: detached tensors by name, float or complex; never changed.
        function: outputs from tensors like the leaves; must not change what it is given.
        backward: gives the gradients in question from values and upstream gradients, where they
            are not autograd's (a hand-written backward); by name, None where there is none.
        buffers: tensors that the function may overwrite; each evaluation gets copies.
        inputs: names of the leaves that are inputs rather than parameters.
        watched: whether operations inside can be seen (not in a pair of NumPy functions).
        blame: the hand-written backward, the only operation that can be wrong.
        module: the network that the function runs, None without one.
        prefix: what need not be computed again, where an evaluation is dear.
        upstream: the fixed upstream gradient of each output.
        draws: whether it draws random numbers, which are then the same each time.
        scales: of its leaves, as far as they are known.
        chosen: which of the function's float outputs count: those that autograd follows.
    """

    name: str
    leaves: Values
    function: Function
    backward: Callable[[Values, list[Tensor]], dict[str, Tensor | None]] | None = None
    buffers: Values = field(default_factory=dict)
    inputs: frozenset[str] = frozenset()
    watched: bool = True
    blame: Callable[..., Any] | None = None
    module: nn.Module | None = None
    prefix: Prefix | None = None
    upstream: list[Tensor] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    scales: Values = field(default_factory=dict, init=False)
    evaluations: int = 0
    needs_grad: bool = False
    _states: tuple[Any, ...] | None = None
    draws: bool = True

    def start(self) -> None:
        """Evaluate once, choose the upstream gradients, and see whether random numbers are drawn.

        Raises:
            GradientError: nothing to differentiate, or the value is not finite.
        """
        self._states = _random_states()
        _, outputs = self.with_gradient(self.leaves)
        self.draws = not _same_states(self._states, _random_states())
        found = floats_of(outputs)
        if not found:
            raise GradientError(
                f"{self.name} gives {_kinds(outputs)}, wants at least one tensor of floats to "
                "differentiate"
            )
        followed = [place for place, item in enumerate(found) if item.requires_grad]
        self.chosen = followed or list(range(len(found)))
        generator = torch.Generator().manual_seed(1)
        self.upstream = [_upstream(found[place], generator) for place in self.chosen]
        if not all(bool(torch.isfinite(found[place]).all()) for place in self.chosen):
            raise GradientError(
                f"{self.name} is not finite at this point (nan or inf in its output): give inputs "
                "inside its domain"
            )

    def evaluate(self, values: Values) -> list[Tensor]:
        """The chosen outputs, without autograd; random numbers are the same each time."""
        self.evaluations += 1
        self.rewind()
        if self.prefix is not None:
            self.prefix.begin([name for name in values if values[name] is not self.leaves[name]])
        try:
            with torch.set_grad_enabled(self.needs_grad):
                outputs = floats_of(self.function({**values, **self.fresh_buffers()}))
        finally:
            if self.prefix is not None:
                self.prefix.done()
        return [outputs[place].detach() for place in self.chosen]

    def fresh_buffers(self) -> Values:
        return {name: item.clone() for name, item in self.buffers.items()}

    def with_gradient(self, values: Values) -> tuple[Values, Any]:
        """Leaves that autograd follows, and the outputs made of them."""
        live, run = self.prepared(values)
        return live, run()

    def prepared(self, values: Values) -> tuple[Values, Callable[[], Any]]:
        """Leaves that autograd follows, and a call of the function alone, for one use."""
        live = {name: item.detach().requires_grad_() for name, item in values.items()}
        given = {**live, **self.fresh_buffers()}
        self.rewind()

        def run() -> Any:
            with torch.enable_grad():
                return self.function(given)

        return live, run

    def rewind(self) -> None:
        """Put the random generators back to where they stood at the first evaluation."""
        if self.draws and self._states is not None:
            restore(self._states)

    def gradient(self, values: Values | None = None) -> dict[str, Tensor | None]:
        """The gradient in question, ``v^T J``, by name; None where none arrives.

        Raises:
            GradientError: the backward pass fails.
        """
        values = values or self.leaves
        self.rewind()
        if self.backward is not None:
            return self.backward(values, self.upstream)
        return self.pulled(*self.with_gradient(values))

    def pulled(self, live: Values, outputs: Any) -> dict[str, Tensor | None]:
        """The gradient by autograd's backward pass from outputs that ``with_gradient`` gave."""
        found = floats_of(outputs)
        pairs = [
            (found[place], upstream)
            for place, upstream in zip(self.chosen, self.upstream, strict=True)
            if found[place].requires_grad
        ]
        if not pairs:
            return dict.fromkeys(live)
        return dict(zip(live, _backward(self.name, pairs, list(live.values())), strict=True))

    def gradient_after_another(self) -> dict[str, Tensor | None]:
        """The gradient after a call with other values: state kept between calls must not matter."""
        other = {name: leaf * 1.5 + 0.25 for name, leaf in self.leaves.items()}
        with contextlib.suppress(Exception):  # it may be outside of the domain
            self.evaluate(other)
        return self.gradient()


def _backward(
    name: str, pairs: list[tuple[Tensor, Tensor]], leaves: list[Tensor]
) -> tuple[Tensor | None, ...]:
    try:
        return torch.autograd.grad(
            [output for output, _ in pairs],
            leaves,
            [upstream for _, upstream in pairs],
            allow_unused=True,
        )
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).split("Hint:")[0].strip().splitlines()
        raise GradientError(
            f"the backward pass of {name} fails: {type(error).__name__}: "
            f"{reason[0] if reason else ''}{_in_place_hint(str(error))}"
        ) from error


def _in_place_hint(text: str) -> str:
    if "inplace" in text:
        return (
            "; an operation overwrites a tensor that the backward pass still needs: use the "
            "form without the trailing underscore, or clone it first"
        )
    return ""


def _upstream(output: Tensor, generator: torch.Generator) -> Tensor:
    if output.dim() == 0 and not output.is_complex():
        return torch.ones_like(output).detach()
    made = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    if output.is_complex():
        other = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        return torch.complex(made, other).to(output.dtype)
    return made.to(output.dtype)


def floats_of(outputs: Any) -> list[Tensor]:
    """Float and complex tensors in a nested result, in order."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() or outputs.is_complex() else []
    if isinstance(outputs, Mapping):
        return [item for value in outputs.values() for item in floats_of(value)]
    if isinstance(outputs, tuple | list):
        return [item for value in outputs for item in floats_of(value)]
    return []


def _kinds(outputs: Any) -> str:
    if isinstance(outputs, Tensor):
        return f"a tensor of {str(outputs.dtype).removeprefix('torch.')}"
    return f"a {type(outputs).__name__}"


def _random_states() -> tuple[Any, ...]:
    return torch.get_rng_state(), random.getstate(), np.random.get_state()


def _same_states(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    same_numpy = all(np.array_equal(a, b) for a, b in zip(first[2], second[2], strict=True))
    return torch.equal(first[0], second[0]) and first[1] == second[1] and same_numpy


def restore(states: tuple[Any, ...]) -> None:
    """Put torch's, Python's and NumPy's generators where they stood."""
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])


def as_real(tensor: Tensor) -> Tensor:
    """The same numbers as real ones: a complex tensor gets a last axis of 2."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def like(real: Tensor, tensor: Tensor) -> Tensor:
    """Real numbers back in the type of ``tensor``; extra leading axes are kept."""
    return torch.view_as_complex(real.contiguous()) if tensor.is_complex() else real


def project(upstream: list[Tensor], change: list[Tensor], batch: bool = False) -> Tensor:
    """``sum(v * change)``; with ``batch`` for every index of a leading axis.

    Args:
        upstream: v of each output.
        change: a difference of each output; with ``batch`` (B, *shape).
    """
    total: Tensor | float = 0.0
    for v, item in zip(upstream, change, strict=True):
        part = as_real(item) * as_real(v)
        total = total + (part.reshape(len(part), -1).sum(1) if batch else part.sum())
    return torch.as_tensor(total)
