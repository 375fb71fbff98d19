"""Calls: the operations that a function calls, with what they were given.

A ``TorchFunctionMode`` sees what is called on tensors, as written by the user: ``F.relu``,
``x @ w``, ``x.detach()``. Applications of ``torch.autograd.Function`` are no such calls, so its
``apply`` is wrapped while a function is watched, and put back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_SKIPPED = tuple(
    str(Path(found).resolve().parent) for found in (torch.__file__, Path(__file__).parent) if found
)
_LEAVING = ("item", "__float__", "numpy", "tolist")


@dataclass(frozen=True)
class Recorded:
    """One call.

    Attributes:
        index: its place among all calls.
        function: what was called.
        name: how to call it.
        args: positional arguments, tensors copied.
        kwargs: keyword arguments, tensors copied.
        grad: whether autograd was on.
        state: torch's random state before it.
        file: the user's file that calls it, None for none.
        line: the line there.
        layer: path of the layer that calls it.
        owner: the ``torch.autograd.Function`` that was applied, None for other calls.
        needs: for each tensor argument whether autograd follows it.
        passed: what its backward got and gave in the real backward pass, for a Function: upstream
            gradients by output and gradients by tensor argument; empty when it never ran.
    """

    index: int
    function: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    grad: bool
    state: Tensor
    file: str | None
    line: int | None
    layer: str
    owner: type | None = None
    needs: tuple[bool, ...] = ()
    passed: list[tuple[tuple[Tensor | None, ...], tuple[Tensor | None, ...]]] = field(
        default_factory=list
    )


class Calls(TorchFunctionMode):
    """Hands every call to ``handle(index, name, run)``, which runs it.

    Args:
        handle: takes the place of the call: its number, its function, and its arguments.
    """

    def __init__(self, handle: Callable[..., Any]) -> None:
        super().__init__()
        self._handle = handle
        self._count = 0
        self._inside = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.call(func, _name(func), args, kwargs or {}, None)

    def call(
        self, func: Any, name: str, args: Any, kwargs: dict[str, Any], owner: type | None
    ) -> Any:
        """Run one call through ``handle``; calls within it are its own business."""
        if self._inside or not any(_holds_floats(item) for item in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        self._inside, index = True, self._count
        self._count += 1
        try:
            return self._handle(index, func, name, args, kwargs, owner)
        finally:
            self._inside = False


@contextmanager
def watched_calls(handle: Callable[..., Any]) -> Iterator[None]:
    """Within, every call on tensors of floats goes through ``handle``."""
    mode = Calls(handle)
    original = torch.autograd.Function.__dict__["apply"]

    def apply(cls: type, *args: Any, **kwargs: Any) -> Any:
        def run(*given: Any, **named: Any) -> Any:
            return original.__func__(cls, *given, **named)

        return mode.call(run, cls.__name__, args, kwargs, cls)

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[assignment,method-assign]
    try:
        with mode:
            yield
    finally:
        torch.autograd.Function.apply = original  # type: ignore[method-assign]


def recorded(run: Callable[[], Any], module: nn.Module | None) -> list[Recorded]:
    """Every call that ``run()`` makes.

    Args:
        run: the function, with its values.
        module: the network inside, whose layers are named.
    """
    found: list[Recorded] = []
    layers: list[str] = []

    def handle(
        index: int, func: Any, name: str, args: Any, kwargs: dict[str, Any], owner: type | None
    ) -> Any:
        copies = tuple(copied(item) for item in args), {k: copied(v) for k, v in kwargs.items()}
        state, grad = torch.get_rng_state(), torch.is_grad_enabled()
        file, line = _place(sys._getframe(2))
        needs = tuple(item.requires_grad for item in args if isinstance(item, Tensor))
        output = func(*args, **kwargs)
        if _gives_numbers(output, name):
            layer = layers[-1] if layers else ""
            call = Recorded(
                index, func, name, *copies, grad, state, file, line, layer, owner,
                needs,
            )  # fmt: skip
            found.append(call)
            if owner is not None:
                _listen(output, call)
        return output

    with ExitStack() as stack:
        for handle_of in _layer_hooks(module, layers):
            stack.callback(handle_of.remove)
        with watched_calls(handle):
            run()
    return found


def _listen(output: Any, call: Recorded) -> None:
    """Note what the backward of an applied Function gets and gives."""
    outputs = output if isinstance(output, tuple | list) else (output,)
    nodes = {id(item.grad_fn): item.grad_fn for item in outputs
             if isinstance(item, Tensor) and item.grad_fn is not None}  # fmt: skip
    for node in nodes.values():

        def hook(given: Any, got: Any) -> None:
            call.passed.append((_detached(got), _detached(given)))

        node.register_hook(hook)


def _detached(items: Any) -> tuple[Tensor | None, ...]:
    return tuple(None if item is None else item.detach().clone() for item in items)


def _layer_hooks(module: nn.Module | None, layers: list[str]) -> list[Any]:
    """Hooks on our own copy of a network that keep the path of the running layer."""
    if module is None or isinstance(module, torch.jit.ScriptModule):
        return []
    handles: list[Any] = []

    def leave(*_: Any) -> None:
        layers.pop()

    for path, layer in module.named_modules():
        handles.append(layer.register_forward_pre_hook(lambda *_, p=path: layers.append(p)))
        handles.append(layer.register_forward_hook(leave, always_call=True))
    return handles


def _name(func: Any) -> str:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":  # a property such as .data
        return str(getattr(func.__self__, "__name__", "property"))
    return str(name)


def _holds_floats(item: Any) -> bool:
    if isinstance(item, Tensor):
        return item.is_floating_point() or item.is_complex()
    return isinstance(item, tuple | list) and any(_holds_floats(part) for part in item)


def copied(item: Any) -> Any:
    """An argument with its tensors copied, so that later changes in place do not reach it."""
    if isinstance(item, Tensor):
        return item.detach().clone()
    if isinstance(item, tuple | list):
        parts = [copied(part) for part in item]
        return tuple(parts) if isinstance(item, tuple) else parts
    return item


def _gives_numbers(output: Any, name: str) -> bool:
    if isinstance(output, float):
        return name in _LEAVING
    return _holds_floats(output)


def _place(frame: FrameType | None) -> tuple[str | None, int | None]:
    """File and line of the user's innermost frame within the watched function."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name == __file__ and frame.f_code.co_name == "recorded":
            return None, None
        if not name.startswith((*_SKIPPED, "<")):
            return name, frame.f_lineno
        frame = frame.f_back
    return None, None
