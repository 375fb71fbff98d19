"""Tracer: runs a twin once and writes down every operation."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from chainrule.analysis.functions import Functions
from chainrule.analysis.graph import Call, Graph, Operation, Origin, Storage, View
from chainrule.analysis.shape_rules import RULES
from chainrule.analysis.tree import buffers_of, layers_of, parameters_of
from chainrule.nn.maxout import Maxout

_META = torch.device("meta")
_HOLDERS = (Tensor, tuple, list)
_ONE_LAYER: tuple[type[nn.Module], ...] = (Maxout,)  # one layer although made of parts


def trace(
    twin: nn.Module,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    way: Literal["meta", "real"],
    layers: Mapping[str, nn.Module] | None = None,
    *,
    keeping: bool = True,
) -> Graph:
    """The graph of ``twin(*arguments, **keywords)``.

    Args:
        twin: a copy that may be run, see ``twin``; on the meta device when ``way`` is "meta".
        arguments: tensors for ``forward``, on the same device.
        keywords: likewise.
        way: "meta" or "real".
        layers: the modules of ``twin`` by path, where they are known already.
        keeping: whether to note what autograd keeps for the backward pass.
    """
    layers = layers_of(twin) if layers is None else layers
    tracer = Tracer(way)
    tracer.watch(layers)
    tracer.name_tensors(layers, arguments, keywords)
    with ExitStack() as stack:
        stack.enter_context(same_random_state())
        stack.enter_context(torch.enable_grad())
        if keeping:
            hooks = torch.autograd.graph.saved_tensors_hooks(tracer.keep, lambda tensor: tensor)
            stack.enter_context(hooks)
        stack.enter_context(Functions(tracer))
        stack.enter_context(tracer)
        try:
            outputs = twin(*arguments, **keywords)
        except Exception as error:
            raise TraceError(error, tracer) from error
        finally:
            tracer.unwatch()
    tracer.graph.outputs = tuple(tracer.views_of(outputs))
    tracer.graph.training = twin.training
    return tracer.graph


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's garbage collector, which would look through the growing graph again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class TraceError(Exception):
    """A forward pass ended with ``error`` inside the call ``call``."""

    def __init__(self, error: Exception, tracer: Tracer) -> None:
        super().__init__(str(error))
        self.error = error
        self.call = tracer.stack[-1]
        sources = {view.storage for view in tracer.graph.inputs}
        self.at_input = any(view.storage in sources for view in self.call.inputs[:1])


@contextmanager
def same_random_state() -> Iterator[None]:
    """Whatever draws random numbers inside, the generators stand afterwards where they stood."""
    numpy = sys.modules.get("numpy")
    states = (torch.get_rng_state(), random.getstate(), numpy and numpy.random.get_state())
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if started else None
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        if numpy is not None:
            numpy.random.set_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every ATen operation that runs while it is active.

    Attributes:
        graph: what was seen so far.
        stack: module calls that have begun and not ended; the innermost last.
        spelled: the PyTorch function that was called last, and its number.
    """

    def __init__(self, way: Literal["meta", "real"] = "meta") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = Graph(way=way)
        self._meta = way == "meta"
        self._handles: list[Any] = []
        root = Call("", "", None, 0)
        self.stack: list[Call] = [root]
        self.spelled: tuple[str, int] = ("", 0)
        self._numbers: dict[int, int] = {}
        self._references: list[Any] = []
        self._strangers: dict[int, tuple[Tensor, Tensor]] = {}
        self._counts: dict[str, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch's own switch: without it the compiler is imported, a second for nothing."""
        return False

    # -- modules ---------------------------------------------------------------------------

    def watch(self, layers: Mapping[str, nn.Module]) -> None:
        """Follow which of the modules is at work."""
        for path, layer in layers.items():
            try:
                begin = layer.register_forward_pre_hook(
                    self._enter(path), with_kwargs=True, prepend=True
                )
                self._handles += [begin, layer.register_forward_hook(self._leave(path))]
            except (RuntimeError, TypeError):  # pragma: no cover - scripted modules take no hooks
                continue

    def unwatch(self) -> None:
        """Take off what ``watch`` put on."""
        for handle in self._handles:
            handle.remove()

    def _enter(self, path: str) -> Callable[..., None]:
        def enter(layer: nn.Module, arguments: Any, keywords: Any) -> None:
            with torch._C.DisableTorchFunction():  # our own looks at tensors are not the network's
                begin(layer, arguments, keywords)

        def begin(layer: nn.Module, arguments: Any, keywords: Any) -> None:
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            call = Call(path, type(layer).__name__, self.stack[-1], number, title(layer))
            call.first = len(self.graph.operations)
            call.closed = isinstance(layer, _ONE_LAYER)
            call.packaged = type(layer).__module__.startswith(("torch.nn.", "chainrule.nn."))
            call.inputs = tuple(self.views_of((arguments, keywords)))
            self.stack.append(call)
            self.graph.calls.append(call)

        return enter

    def _leave(self, path: str) -> Callable[..., None]:
        def leave(_layer: nn.Module, _inputs: Any, outputs: Any) -> None:
            while self.stack[-1].path != path:  # a call that ended by a caught exception
                self.stack.pop()
            with torch._C.DisableTorchFunction():
                self.stack.pop().outputs = tuple(self.views_of(outputs))

        return leave

    # -- tensors ---------------------------------------------------------------------------

    def name_tensors(
        self,
        layers: Mapping[str, nn.Module],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> None:
        """Number the storages that are there before the first operation."""
        for name, parameter in parameters_of(layers).items():
            self._storage(parameter, "parameter", name)
        for name, buffer in buffers_of(layers).items():
            self._storage(buffer, "buffer", name)
        named = {str(place): item for place, item in enumerate(arguments)} | keywords
        for name, item in named.items():
            for tensor in _tensors(item):
                self._storage(tensor, "input", name)
        self.graph.inputs = tuple(self.views_of((arguments, keywords)))

    def _storage(self, tensor: Tensor, origin: Origin, name: str = "") -> int:
        storage = tensor.untyped_storage()
        reference: Any = storage
        key: int = storage._cdata
        if self.graph.way == "real":  # hold its number, not its memory
            reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            key = reference.cdata
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.graph.storages)
            self._references.append(reference)  # so that no other storage gets its number
            made = len(self.graph.operations) if origin == "activation" else -1
            trainable = origin == "parameter" and tensor.requires_grad
            size = storage.nbytes()
            self.graph.storages.append(Storage(size, origin, name, made, None, trainable))
        return number

    def _view(self, tensor: Tensor, origin: Origin) -> View:
        number = self._storage(tensor, origin)
        offset = int(tensor.storage_offset())
        shape, stride = tuple(tensor.shape), tensor.stride()
        return View(number, offset, shape, stride, tensor.dtype, tensor.requires_grad)

    def views_of(self, value: Any) -> Iterator[View]:
        """The View of every tensor in nested containers."""
        for tensor in _tensors(value):
            yield self._view(tensor, "constant")

    def keep(self, tensor: Tensor) -> Tensor:
        """Autograd keeps ``tensor`` for the backward pass."""
        number = self._storage(tensor, "constant")
        storage, operations = self.graph.storages[number], self.graph.operations
        if storage.saved is None:
            storage.saved = len(operations)  # kept as an input of the operation to come ...
            last = operations[-1] if operations else None
            same_call = last is not None and last.spelled == self.spelled
            if last is not None and same_call and storage.made == last.index:
                storage.saved = last.index  # ... or as the result of the last one
        return tensor

    # -- operations ------------------------------------------------------------------------

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._meta:
            if kwargs.get("device") is not None:
                kwargs = {**kwargs, "device": _META}
            args, kwargs = self._at_home(args), kwargs and self._at_home(kwargs)
        arguments, keywords = self._recorded(args), kwargs and self._recorded(kwargs)
        rule = RULES.get(function) if self._meta else None
        output = rule(*args, **kwargs) if rule is not None else NotImplemented
        if output is NotImplemented:
            output = function(*args, **kwargs)
        outputs = tuple(self._view(tensor, "activation") for tensor in _tensors(output))
        self.graph.operations.append(
            Operation(
                len(self.graph.operations),
                function,
                arguments,
                keywords,
                outputs,
                self.stack[-1],
                torch.is_grad_enabled(),
                self.spelled,
            )
        )
        return output

    def _recorded(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._view(value, "constant")
        if isinstance(value, tuple | list):
            return type(value)([self._recorded(item) for item in value]) if _deep(value) else value
        if isinstance(value, dict):
            return {name: self._recorded(item) for name, item in value.items()}
        return value

    def _at_home(self, value: Any) -> Any:
        """``value`` with a weightless stand-in for each tensor that lies on a real device.

        A tensor in a closure or a global of the user's must be neither written nor mixed with
        meta tensors.
        """
        if isinstance(value, Tensor):
            return value if value.is_meta else self._stand_in(value)
        if isinstance(value, tuple | list):
            return type(value)([self._at_home(item) for item in value]) if _deep(value) else value
        if isinstance(value, dict) and value:
            return {name: self._at_home(item) for name, item in value.items()}
        return value

    def _stand_in(self, tensor: Tensor) -> Tensor:
        found = self._strangers.get(id(tensor))
        if found is None:
            found = self._strangers[id(tensor)] = (
                tensor,
                torch.empty_like(tensor, device="meta", requires_grad=False),
            )
        return found[1]


def _deep(values: tuple[Any, ...] | list[Any]) -> bool:
    """Whether there can be a tensor in it: not among sizes and strides."""
    return any(isinstance(item, _HOLDERS) for item in values)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif hasattr(value, "__dataclass_fields__"):  # outputs of Hugging Face and the like
        for name in value.__dataclass_fields__:
            yield from _tensors(getattr(value, name))


def title(layer: nn.Module) -> str:
    """Class name of a layer with filter size, stride, dilation and groups where they matter.

    Examples:
        >>> title(nn.Conv2d(1, 10, 5, stride=2))
        'Conv2d 5x5, stride 2'
    """
    words = [type(layer).__name__]
    size = getattr(layer, "kernel_size", None)
    if size is None:
        return words[0]
    axes = int(words[0][-2]) if words[0][-2:] in ("1d", "2d", "3d") else 1
    words[0] += f" {_by(size, axes)}"
    for name in ("stride", "dilation", "groups"):
        text = _by(getattr(layer, name, 1))
        if text and set(text.split("x")) != {"1"}:
            same = len(set(text.split("x"))) == 1
            words.append(f"{name} {text.split('x')[0] if same else text}")
    return ", ".join(words)


def _by(size: Any, axes: int = 1) -> str:
    """``(3, 3)`` as "3x3"; 3 as "3", or as "3x3" for two axes."""
    if isinstance(size, int):
        size = (size,) * axes
    return "x".join(str(number) for number in size) if isinstance(size, tuple | list) else ""
