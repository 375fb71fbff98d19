"""Second run: which operation made the first NaN, told from those that passed it on.

The step is run once more on a copy of the network, with the same minibatch and weights, and every
operation's result is looked at; then back, node by node.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from chainrule.analysis.running import tensors_of
from chainrule.analysis.tracer import same_random_state
from chainrule.analysis.twin import with_weights
from chainrule.diagnosis.facts import TensorFacts, facts_of
from chainrule.diagnosis.origin import Origin, value_of
from chainrule.diagnosis.places import Place, user_place
from chainrule.diagnosis.tail import Heard

_SHOWN = 4  # operations that passed it on


def find_origin(
    step: int,
    module: nn.Module | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
    trail: list[Heard],
    loss: Tensor | None,
) -> Origin:
    """The operation that produced the first NaN or infinity of a step.

    Args:
        step: its number.
        module: the network; None where there is none.
        args, kwargs: of its forward pass.
        output: what that pass gave, from which the loss was computed.
        trail: the operations from ``output`` to the loss.
        loss: the number that ``backward`` is called on.
    """
    bad = _first_bad_input(step, args, kwargs)
    if bad is None and module is not None:
        bad = _bad_weights(step, module)
    if bad is not None:
        return bad
    bad = _bad_targets(step, trail)
    if bad is not None:
        return bad
    try:
        # heard again: the second run listens with a mode of its own
        with (
            torch._C._EnableTorchFunction(),
            same_random_state(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            return _Rerun(step, module, trail).run(args, kwargs, output, loss)
    except Exception as error:  # noqa: BLE001 - the copy may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Origin(step, "unknown", "", note=f"the step could not be run again: {reason}")


def _first_bad_input(step: int, args: Any, kwargs: Any) -> Origin | None:
    for item in tensors_of((list(args), kwargs)):
        if value_of(item):
            place = _where(item)
            return Origin(
                step, "inputs", "inputs of the network", "", None, (facts_of(item),),
                value_of(item), (), place,
            )  # fmt: skip
    return None


def _where(tensor: Tensor) -> str:
    """Which examples of the minibatch are not finite."""
    if tensor.dim() == 0:
        return ""
    rows = (~tensor.detach().isfinite()).reshape(len(tensor), -1).any(1).nonzero().flatten()
    listed = ", ".join(str(item) for item in rows[:5].tolist())
    return f"examples {listed}{', ...' if len(rows) > 5 else ''} of the minibatch"


def _bad_weights(step: int, module: nn.Module) -> Origin | None:
    names = [name for name, item in module.named_parameters() if value_of(item)]
    names += [name for name, item in module.named_buffers() if value_of(item)]
    if not names:
        return None
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    value = value_of(tensors[names[0]])
    return Origin(
        step, "weights", names[0], "", None, (), value, tuple(names[1:_SHOWN]),
        "they were made so by an update before this step, of which only the loss was heard; "
        "--share 1 watches every step in full",
    )  # fmt: skip


def _bad_targets(step: int, trail: list[Heard]) -> Origin | None:
    made = {id(entry.output) for entry in trail}
    for entry in trail:
        for item in tensors_of(list(entry.args)):
            if id(item) not in made and not item.requires_grad and value_of(item) == "nan":
                return Origin(
                    step, "targets", f"targets given to {entry.name}", "", entry.place,
                    (facts_of(item),), "nan", (), _where(item),
                )  # fmt: skip
    return None


@dataclass(eq=False)
class _Made:
    """An operation of the second run."""

    name: str
    layer: str
    place: Place | None
    inputs: tuple[TensorFacts, ...]
    value: str = ""
    source: _Made | None = None  # the operation whose NaN it handed on


class _Inspector(TorchFunctionMode):
    """Looks at the result of every function."""

    def __init__(self, layer: Callable[[], str]) -> None:
        super().__init__()
        self.made: dict[int, _Made] = {}
        self.nodes: dict[Any, _Made] = {}
        self._alive: list[Any] = []
        self._layer = layer

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = tensors_of((list(args), kwargs))
        before = [value_of(item) for item in given]
        facts = tuple(facts_of(item) for item in given if item.is_floating_point())
        output = function(*args, **kwargs)
        name = str(getattr(function, "__name__", function))
        if name not in ("__get__", "__set__"):
            self.look(name, given, before, facts, output, user_place())
        return output

    def look(
        self, name: str, given: list[Tensor], before: list[str],
        facts: tuple[TensorFacts, ...], output: Any, place: Place | None,
    ) -> None:  # fmt: skip
        """One function and what it gave."""
        for item in tensors_of(output):
            made = _Made(name.strip("_"), self._layer(), place, facts, value_of(item))
            if made.value:
                made.source = self._source(given, before)
                self.made[id(item)] = made
                self._alive.append(item)
            self._claim(item.grad_fn, made)

    def _source(self, given: list[Tensor], before: list[str]) -> _Made | None:
        """Where the NaN among its inputs comes from: a NaN rather than an infinity."""
        for wanted in ("nan", "inf"):
            for item, value in zip(given, before, strict=True):
                if value == wanted and id(item) in self.made:
                    return self.made[id(item)]
        return None

    def _claim(self, node: Any, made: _Made) -> None:
        """The graph's new nodes belong to this function."""
        waiting = [node]
        while waiting:
            item = waiting.pop()
            if item is None or item in self.nodes or hasattr(item, "variable"):
                continue
            self.nodes[item] = made
            waiting.extend(parent for parent, _ in item.next_functions)


class _Rerun:
    """The same step on a copy."""

    def __init__(self, step: int, module: nn.Module | None, trail: list[Heard]) -> None:
        self._step, self._trail = step, trail
        self._twin = None if module is None else with_weights(module)
        self._open: list[str] = []
        self._mode = _Inspector(lambda: self._open[-1] if self._open else "")

    def run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, loss: Tensor | None
    ) -> Origin:
        """Forward, loss, and back."""
        with torch.enable_grad():
            with self._mode:
                swapped = self._forward(args, kwargs, output)
            made = self._loss(swapped)
        final = swapped.get(id(loss)) if loss is not None else None
        final = made if final is None else final
        ends = [final] if final is not None else []
        for item in (*ends, *swapped.values()):
            found = self._mode.made.get(id(item))
            if found is not None:
                return self._origin(found, "forward" if found.layer else "loss")
        broken = self._backward(final)
        if broken is not None:
            return broken
        return Origin(
            self._step, "unknown", "", note="it did not come again when the step was run a second "
            "time on a copy: it depends on chance (dropout) or on the device",
        )  # fmt: skip

    def _forward(self, args: Any, kwargs: Any, output: Any) -> dict[int, Tensor]:
        """Run the copy; gives the new tensors by the identity of the old ones."""
        old = tensors_of(output)
        if self._twin is None:
            return {id(item): _fresh(item) for item in old}
        for path, layer in self._twin.named_modules():
            layer.register_forward_pre_hook(functools.partial(self._enter, path))
            layer.register_forward_hook(self._leave)
        again = self._twin(*_copied(args), **_copied(kwargs))
        self._open.clear()
        return {id(one): two for one, two in zip(old, tensors_of(again), strict=False)}

    def _enter(self, path: str, *_: Any) -> None:
        self._open.append(path or "the network")

    def _leave(self, *_: Any) -> None:
        self._open.pop()

    def _loss(self, swapped: dict[int, Tensor]) -> Tensor | None:
        """Run the operations after the network once more, on the copy's output."""
        last = None
        for entry in self._trail:
            args = _replaced(list(entry.args), swapped)
            kwargs = _replaced(entry.kwargs, swapped)
            given = tensors_of((args, kwargs))
            before = [value_of(item) for item in given]
            facts = tuple(facts_of(item) for item in given if item.is_floating_point())
            last = entry.function(*args, **kwargs)
            self._mode.look(entry.name, given, before, facts, last, entry.place)
            swapped[id(entry.output)] = last
        return last

    def _origin(self, made: _Made, stage: str) -> Origin:
        passed, turned = [], ""
        while made.source is not None:
            passed.append(_title(made))
            if made.value == "nan" and made.source.value == "inf":
                turned = f"{_title(made)} made NaN of it"
            made = made.source
        stage = "forward" if made.layer else stage
        return Origin(
            self._step, stage, made.name, made.layer, made.place, made.inputs, made.value,
            tuple(reversed(passed))[:_SHOWN],
            turned,
        )  # fmt: skip

    def _backward(self, loss: Tensor | None) -> Origin | None:
        """Back through the copy, until a node gives what is not finite though it got nothing so."""
        if loss is None or not loss.requires_grad or value_of(loss):
            return None
        found: list[Origin] = []

        def hook(made: _Made, name: str) -> Callable[..., None]:
            def look(outgoing: Any, incoming: Any) -> None:
                values = [value_of(item) for item in tensors_of(list(outgoing))]
                if not found and any(values) and not any(map(value_of, tensors_of(list(incoming)))):
                    worst = "nan" if "nan" in values else "inf"
                    origin = self._origin(replace(made, source=None, value=worst), "loss")
                    found.append(replace(origin, stage="backward", note=f"in the node {name}"))

            return look

        handles = [node.register_hook(hook(made, node.name()))
                   for node, made in self._mode.nodes.items()]  # fmt: skip
        with torch.enable_grad():
            loss.sum().backward()  # type: ignore[no-untyped-call]
        for handle in handles:
            handle.remove()
        return found[0] if found else None


def _title(made: _Made) -> str:
    where = f" in {made.layer}" if made.layer else ""
    return f"{made.name}{where}"


def _fresh(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone().cpu()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def _copied(value: Any) -> Any:
    """The same structure with copies of the tensors, on the CPU."""
    return _mapped(value, lambda item: item.detach().to("cpu", copy=True))


def _replaced(value: Any, swapped: dict[int, Tensor]) -> Any:
    return _mapped(value, lambda item: swapped.get(id(item), item.detach().cpu()))


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(item, change) for item in value)
    if type(value) is dict:
        return {key: _mapped(item, change) for key, item in value.items()}
    return value
