"""Layers: the activations of a network in one forward pass, by hooks that are gone after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.running import first_tensor
from chainrule.analysis.twin import unwrapped
from chainrule.diagnosis.opaque import plain, unheard
from chainrule.gradients.activations import ACTIVATIONS, Activation, activation_of
from chainrule.gradients.signals import axis_after, axis_of

_WINDOW = 2000  # inputs over which a unit has to be off to be called dead


@dataclass(frozen=True)
class Activations:
    """The output of one layer in one forward pass, finite values alone.

    Attributes:
        name: path of the module; of a function the path of its module and its name.
        operation: class of the module, or the function.
        shape: of the output.
        mean, std: of the activations, std divided by the count.
        largest: of their magnitudes.
        zero: share that is exactly 0.
        saturated: share where the slope is below 5 % of its maximum; None where that cannot be.
        not_finite: how many are NaN or infinite.
        on: (units,) whether a unit is other than 0 anywhere; None for layers that do not rectify.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    mean: float
    std: float
    largest: float
    zero: float
    saturated: float | None
    not_finite: int
    on: Tensor | None = None


def activations(
    name: str, operation: str, output: Tensor, activation: Activation | None, axis: int | None
) -> Activations:
    """Statistics of one tensor.

    Args:
        name, operation: of the layer.
        output: (N, ...) of any floating dtype.
        activation: the activation function that made it, None for other layers.
        axis: which axis counts the units.

    Examples:
        >>> relu = ACTIVATIONS["relu"]
        >>> found = activations("1", "ReLU", torch.tensor([[0.0, 2.0], [0.0, 4.0]]), relu, 1)
        >>> found.mean, found.zero, found.on.tolist()
        (1.5, 0.5, [False, True])
    """
    values = output.detach()
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    variance, mean = torch.var_mean(values, correction=0)
    zeros = values.numel() - int(torch.count_nonzero(values))
    largest = values.abs().max()
    told = [float(item) for item in torch.stack([mean, variance, largest]).tolist()]
    missing = 0
    if not all(map(math.isfinite, told)):
        finite = values.isfinite()
        missing = int((~finite).sum())
        told = _of_finite(values[finite])
    flat = None if activation is None else activation.saturated(values)
    on = None
    if activation is not None and activation.off and axis is not None and values.dim() > 1:
        on = (values != 0).movedim(axis, 0).flatten(1).any(1)
    return Activations(
        name, operation, tuple(values.shape), told[0], math.sqrt(max(told[1], 0.0)), told[2],
        zeros / max(values.numel(), 1),
        None if flat is None else float(flat.double().mean()), missing, on,
    )  # fmt: skip


def _of_finite(values: Tensor) -> list[float]:
    if not values.numel():
        return [math.nan, 0.0, math.nan]
    variance, mean = torch.var_mean(values.double(), correction=0)
    return [float(mean), float(variance), float(values.abs().max())]


class LayerProbe:
    """Hooks on every module of a network for one forward pass.

    Args:
        root: the network; what wraps it is looked through. Compiled and scripted modules are one
            layer.
        taken: called with each layer's statistics.
        failed: called with what goes wrong inside a hook, which never reaches the network.
    """

    def __init__(
        self,
        root: nn.Module,
        taken: Callable[[Activations], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._taken, self._failed = taken, failed
        self._open: list[tuple[str, bool]] = []  # path, whether it shows its inside
        self._axis: int | None = None
        self._calls: dict[str, int] = {}
        self._handles: list[Any] = []
        self.seconds = 0.0
        inner = unwrapped(root)
        closed = inner is not root and type(root).__name__ == "OptimizedModule"
        if not closed and not isinstance(inner, torch.jit.ScriptModule):
            for path, layer in inner.named_modules():
                if not isinstance(layer, torch.jit.ScriptFunction):
                    self._hook(path, layer)

    def remove(self) -> None:
        """Take every hook off again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def path(self) -> str:
        """The module that is running."""
        return self._open[-1][0] if self._open else ""

    def _hook(self, path: str, layer: nn.Module) -> None:
        leaf = next(layer.children(), None) is None
        known = leaf and type(layer).__module__.startswith("torch.")
        alone = known or (leaf and next(layer.parameters(), None) is not None)

        def begin(_layer: nn.Module, _inputs: Any) -> None:
            self._open.append((path, not known))

        def end(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            if self._open and self._open[-1][0] == path:
                self._open.pop()
            if alone:
                self._guarded(path, layer, output)

        self._handles.append(layer.register_forward_pre_hook(begin))
        self._handles.append(layer.register_forward_hook(end))

    def _guarded(self, path: str, layer: nn.Module, output: Any) -> None:
        begun = time.perf_counter()
        try:
            with torch.no_grad(), unheard():
                self._axis = axis_after(layer, self._axis)
                self._take(path or type(layer).__name__, type(layer).__name__, output,
                           activation_of(layer))  # fmt: skip
        except Exception as error:  # noqa: BLE001 - looking must not stop the network
            self._failed(error)
        self.seconds += time.perf_counter() - begun

    def hear(self, name: str, output: Any) -> None:
        """A function was called by a module that shows its inside."""
        if name not in ACTIVATIONS or (self._open and not self._open[-1][1]):
            return
        path = self.path()
        self._take(f"{path}.{name}" if path else name, name, output, ACTIVATIONS[name])

    def _take(self, title: str, operation: str, output: Any, activation: Any) -> None:
        values = first_tensor(output)
        if values is None or not values.is_floating_point():
            return
        values = plain(values)
        if not values.dim():
            return
        if not values.numel():
            return
        count = self._calls[title] = self._calls.get(title, 0) + 1
        name = title if count == 1 else f"{title} {count}"
        self._taken(activations(name, operation, values, activation, axis_of(values, self._axis)))


@dataclass
class DeadWindow:
    """Units of one layer that have been off over a window of inputs.

    Attributes:
        inputs: how many inputs the window holds so far.
        on: (units,) whether a unit was on for any of them.
        dead, of: units off for all inputs of the last full window (or of this one while it is the
            first), and the inputs of that window.
    """

    inputs: int = 0
    on: Tensor | None = None
    dead: int = 0
    of: int = 0
    full: bool = False

    def add(self, on: Tensor, inputs: int) -> None:
        """Take in one minibatch."""
        same = self.on is not None and self.on.shape == on.shape
        self.on = on.clone() if not same or self.on is None else self.on | on
        self.inputs = self.inputs + inputs if same else inputs
        if self.inputs >= _WINDOW or not self.full:
            self.dead, self.of = int((~self.on).sum()), self.inputs
        if self.inputs >= _WINDOW:
            self.full, self.inputs, self.on = True, 0, None

    @property
    def units(self) -> int:
        return 0 if self.on is None else self.on.numel()
