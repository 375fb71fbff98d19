"""Signals: what is seen of every layer while a copy of a network runs forward and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from chainrule.analysis.running import first_tensor
from chainrule.gradients.activations import ACTIVATIONS, Activation, activation_of
from chainrule.gradients.moments import Moments

_KEPT = 4  # examples whose inputs are kept for Jacobians
_CHANNELS_FIRST = (_ConvNd, _BatchNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
_FEATURES_LAST = (nn.Linear, nn.LayerNorm, nn.RNNBase, nn.RNNCellBase, nn.Embedding)


@dataclass(eq=False)
class Signal:
    """One layer over all passes.

    Attributes:
        name: path of the module, or name of a function.
        operation: class of the module, or the function.
        module: the module; None for a function.
        moments: of its outputs.
        incoming: of its first input, for layers with a matrix of weights.
        shape: of the output, without the minibatch axis.
        axis, batch: which axis counts its units, and the length of the first axis.
        calls: in the pass that runs now, and in the end of each pass.
        gradients: by call, the sum over examples of squared norms of their gradients.
        inputs: first inputs of the first call; all of the minibatch for batch normalization.
        function: what can be called on ``inputs`` again; None where that is not enough.
    """

    name: str
    operation: str
    module: nn.Module | None
    moments: Moments
    incoming: Moments | None = None
    shape: tuple[int, ...] = ()
    axis: int = 1
    batch: int = 0
    calls: int = 0
    gradients: list[float] = field(default_factory=list)
    inputs: Tensor | None = None
    function: Callable[[Tensor], Tensor] | None = None

    def gradient_norms(self, examples: int) -> tuple[float, ...]:
        """By call, the root mean square over examples of the norm of one example's gradient."""
        return tuple(math.sqrt(item / examples) for item in self.gradients)

    def receive(self, call: int, examples: int, gradient: Tensor) -> None:
        """Take in the gradient of a mean loss over ``examples`` by the output of a call."""
        self.gradients += [0.0] * (call + 1 - len(self.gradients))
        square = float(gradient.double().square().sum())
        self.gradients[call] += square * examples**2  # of each example's own loss


@dataclass(eq=False)
class _Open:
    """A module call that has begun and not ended."""

    path: str
    whole: bool
    inputs: Tensor | None
    recorded: int = 0


class Watch(TorchFunctionMode):
    """Gathers the signals of a network while it is active; the network is a copy to throw away.

    Args:
        twin: hooks are put on it and stay.
        jacobians: whether inputs are kept to compute Jacobians at.
    """

    def __init__(self, twin: nn.Module, *, jacobians: bool = True) -> None:
        super().__init__()
        self.signals: dict[str, Signal] = {}
        self.examples = 0  # of the minibatch that runs now
        self._jacobians = jacobians
        self._open: list[_Open] = []
        self._axis: int | None = None
        self._functions: dict[str, int] = {}
        for path, layer in twin.named_modules():
            if "parametrizations" not in path.split("."):
                self._hook(path, layer)

    def begin(self, examples: int) -> None:
        """A new pass starts."""
        self.examples, self._open, self._axis = examples, [], None
        self._functions.clear()
        for signal in self.signals.values():
            signal.calls = 0

    def _hook(self, path: str, layer: nn.Module) -> None:
        leaf = all(name == "parametrizations" for name, _ in layer.named_children())
        whole = leaf and type(layer).__module__.startswith("torch.")
        alone = whole or (leaf and any(True for _ in layer.parameters()))

        def begin(_layer: nn.Module, inputs: Any) -> None:
            self._open.append(_Open(path, whole, self._kept(path, layer, inputs, leaf)))

        def end(_layer: nn.Module, inputs: Any, output: Any) -> None:
            call = self._open.pop()
            if alone or not call.recorded:
                self._record_layer(call, layer, inputs, output)
                call.recorded += 1
            if self._open:
                self._open[-1].recorded += call.recorded

        layer.register_forward_pre_hook(begin)
        layer.register_forward_hook(end)

    def _kept(self, path: str, layer: nn.Module, inputs: Any, leaf: bool) -> Tensor | None:
        """The input as it is before the layer may overwrite it."""
        given = first_tensor(inputs)
        if not leaf or given is None or not given.is_floating_point() or given.dim() == 0:
            return None
        seen = self.signals.get(path or type(layer).__name__)
        wanted = self._jacobians and (seen is None or seen.inputs is None)
        many = len(given) if isinstance(layer, _BatchNorm) else _KEPT
        return given.detach()[: many if wanted else 0].clone()

    def _record_layer(self, call: _Open, layer: nn.Module, inputs: Any, output: Any) -> None:
        name = call.path or type(layer).__name__
        found = self.signals.get(name)
        if found is None:
            kind = type(layer).__name__
            found = Signal(name, kind, layer, Moments(activation_of(layer)))
            matrix = any(item.dim() > 1 for item in layer.parameters(recurse=False))
            found.incoming = Moments() if matrix and call.inputs is not None else None
            self.signals[name] = found
        given = first_tensor(inputs)
        if found.incoming is not None and given is not None:
            found.incoming.add(given.detach())
        if found.inputs is None and call.inputs is not None and len(call.inputs):
            alone = isinstance(inputs, tuple) and len(inputs) == 1
            found.inputs, found.function = call.inputs, layer.forward if alone else None
        self._axis = axis_after(layer, self._axis)
        self._record(found, output)

    def _record(self, found: Signal, output: Any) -> None:
        values = first_tensor(output)
        found.calls += 1
        if values is None or not values.is_floating_point() or values.dim() == 0:
            return
        found.shape = tuple(values.shape[1:])
        found.batch = len(values)
        found.axis = axis_of(values, self._axis)
        found.moments.add(values.detach(), found.axis)
        if values.requires_grad:
            call = found.calls - 1
            values.register_hook(partial(found.receive, call, self.examples))  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(getattr(function, "__name__", "")).rstrip("_")
        called = not self._open or not self._open[-1].whole
        if not called or name not in ACTIVATIONS or not args:
            return function(*args, **(kwargs or {}))
        given = first_tensor(args)
        kept = None if given is None else given.detach()[:_KEPT].clone()
        output = function(*args, **(kwargs or {}))
        self._record_function(function, name, args, kwargs or {}, kept, output)
        return output

    def _record_function(
        self, function: Any, name: str, args: Any, kwargs: Any, kept: Tensor | None, output: Any
    ) -> None:
        path = self._open[-1].path if self._open else ""
        title = f"{path}.{name}" if path else name
        count = self._functions[title] = self._functions.get(title, 0) + 1
        title = title if count == 1 else f"{title} {count}"
        found = self.signals.get(title)
        if found is None:
            activation: Activation = ACTIVATIONS[name]
            found = self.signals[title] = Signal(title, name, None, Moments(activation))
            if self._jacobians and kept is not None:
                found.inputs = kept
                found.function = lambda x: function(x, *args[1:], **kwargs)
        self._record(found, output)
        if self._open:
            self._open[-1].recorded += 1


def axis_after(layer: nn.Module, before: int | None) -> int | None:
    """Which axis counts the units of what follows."""
    if isinstance(layer, _FEATURES_LAST):
        return -1
    return 1 if isinstance(layer, _CHANNELS_FIRST) else before


def axis_of(values: Tensor, told: int | None) -> int:
    if told is not None and values.dim() != 2:
        return told
    return -1 if values.dim() == 3 else min(1, values.dim() - 1)
