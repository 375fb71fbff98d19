"""Graph: the operations of a forward pass as plain facts, without tensors.

A traced network is a list of ATen operations in the order in which they ran. Tensors are
told apart by the storage that holds their elements, so that a view costs nothing and a write
in place is seen by every view of the same storage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any, Literal

import torch
from torch._ops import OpOverload

Origin = Literal["input", "parameter", "buffer", "constant", "activation"]


@dataclass(slots=True)  # not frozen: a large network has tens of thousands, and that doubles time
class View:
    """A tensor: which storage holds it, and how its elements lie there.

    Attributes:
        storage: number of the storage in ``Graph.storages``.
        offset: index of its first element in the storage.
        shape: sizes of its axes.
        stride: steps in elements from one index to the next, per axis.
        dtype: type of its elements.
        requires_grad: whether autograd follows it.
    """

    storage: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool = False

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its elements."""
        return self.count * self.dtype.itemsize


@dataclass(slots=True)
class Storage:
    """A piece of memory.

    Attributes:
        bytes: its size.
        origin: "input", "parameter", "buffer", "constant" or "activation".
        name: name of the parameter, buffer or input; "" for activations.
        made: index of the operation that allocated it; -1 when it was there before.
        saved: index of the first operation that autograd keeps it for; None when it keeps none.
        trainable: whether it is a parameter that requires a gradient.
    """

    bytes: int
    origin: Origin
    name: str = ""
    made: int = -1
    saved: int | None = None
    trainable: bool = False


@dataclass(slots=True)
class Call:
    """One call of a module.

    Attributes:
        path: path of the module in the tree, "" for the root.
        kind: name of its class.
        title: its class with the sizes that matter ("Conv2d 5x5, stride 2").
        closed: whether it counts as one layer whatever it is made of.
        packaged: whether its class comes with PyTorch or chainrule.
        parent: the call inside which it happened; None for the root.
        number: how many calls of the same module came before.
        first: index of the first operation that ran after it began.
        inputs: tensors it got.
        outputs: tensors it gave.
    """

    path: str
    kind: str
    parent: Call | None
    number: int
    title: str = ""
    closed: bool = False
    packaged: bool = False
    first: int = 0
    inputs: tuple[View, ...] = ()
    outputs: tuple[View, ...] = ()


@dataclass(slots=True)
class Operation:
    """One ATen operation as it ran.

    Attributes:
        index: its place in the order.
        function: the operator.
        arguments: positional arguments, with a View for each tensor.
        keywords: keyword arguments, likewise.
        outputs: tensors it gave.
        call: the module call in which it ran.
        graph_enabled: whether autograd was recording.
        spelled: the PyTorch function that the network called ("matmul"), and the number of that
            call; several operations may run for one.
        inputs: every tensor among the arguments.
        written: tensors that the operation changes in place.
    """

    index: int
    function: OpOverload
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    outputs: tuple[View, ...]
    call: Call
    graph_enabled: bool = True
    spelled: tuple[str, int] = ("", 0)
    inputs: tuple[View, ...] = ()
    written: tuple[View, ...] = ()

    def __post_init__(self) -> None:
        self.inputs = tuple(views((self.arguments, self.keywords)))
        self.written = tuple(self._changed())

    @property
    def name(self) -> str:
        """The operator's name without namespace and overload ("convolution")."""
        return self.function._schema.name.split("::")[1]

    @property
    def qualified_name(self) -> str:
        """The operator's name with its namespace ("aten::convolution")."""
        return self.function._schema.name

    @property
    def pointwise(self) -> bool:
        """Whether PyTorch says that it works element by element; in place as out of place."""
        return _is_pointwise(self.function)

    def argument(self, name: str) -> Any:
        """The argument called ``name`` in the operator's schema, or its default."""
        for place, item in enumerate(self.function._schema.arguments):
            if item.name == name:
                if place < len(self.arguments):
                    return self.arguments[place]
                return self.keywords.get(name, item.default_value)
        raise KeyError(name)

    def _changed(self) -> Iterator[View]:
        for place, name in _written_arguments(self.function):
            given = place < len(self.arguments)
            yield from views(self.arguments[place] if given else self.keywords.get(name))


@dataclass(slots=True)
class Graph:
    """A traced forward pass.

    Attributes:
        operations: in the order in which they ran.
        storages: every piece of memory by number.
        calls: every module call in the order in which they began; the root first.
        inputs: the network's inputs.
        outputs: the network's outputs.
        way: how it was traced: "meta" (no memory at all) or "real" (a run of a copy on CPU).
        training: whether the network was in training mode.
    """

    operations: list[Operation] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    inputs: tuple[View, ...] = ()
    outputs: tuple[View, ...] = ()
    way: Literal["meta", "real"] = "meta"
    training: bool = False


@lru_cache(maxsize=4096)
def _written_arguments(function: OpOverload) -> tuple[tuple[int, str], ...]:
    return tuple(
        (place, item.name)
        for place, item in enumerate(function._schema.arguments)
        if item.alias_info is not None and item.alias_info.is_write
    )


@lru_cache(maxsize=4096)
def _is_pointwise(function: OpOverload) -> bool:
    if torch.Tag.pointwise in function.tags:
        return True
    space, name = function._schema.name.split("::")
    if not name.endswith("_"):
        return False
    plain = getattr(getattr(torch.ops, space), name[:-1], None)
    if plain is None:
        return False
    return any(
        torch.Tag.pointwise in getattr(plain, overload).tags for overload in plain.overloads()
    )


def names(text: str) -> frozenset[str]:
    """The words of a text; tables of operators are easier to read without quotes.

    Examples:
        >>> sorted(names("mm bmm"))
        ['bmm', 'mm']
    """
    return frozenset(text.split())


def views(value: Any) -> Iterator[View]:
    """Every View in nested tuples, lists and dicts."""
    if isinstance(value, View):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from views(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from views(item)
