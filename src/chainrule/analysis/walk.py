"""Walk: the field of every tensor of a graph, operation by operation.

Storages are followed with the views made of them, so that a write through one view is seen by
all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from chainrule.analysis import field as fields
from chainrule.analysis.field import Field
from chainrule.analysis.field_rules import rule_for
from chainrule.analysis.graph import Graph, Operation, View
from chainrule.analysis.lattice import slice_map
from chainrule.analysis.rules_axes import permutation, slice_of

_Key = tuple[int, tuple[int, ...], tuple[int, ...]]
_WINDOWS = ("convolution", "pool", "upsample", "pixel", "pad", "batch_norm", "group_norm")


@dataclass(slots=True)
class _Memory:
    """The fields of one storage: that of its first shape, and the views made of it."""

    base: _Key
    fields: dict[_Key, Field | None]
    parents: dict[_Key, tuple[Operation, View, int]] = field(default_factory=dict)


def input_axes(graph: Graph, view: View) -> tuple[int, ...]:
    """The axes of an input along which receptive fields are told.

    All axes behind (N, C) for images; the second for (N, length) and for (N, length, features).
    """
    rank = len(view.shape)
    if rank <= 2:
        return (1,) if rank == 2 and not view.dtype.is_floating_point else ()
    if rank > 3:
        return tuple(range(2, rank))
    return (2,) if _channels_first(graph, view) else (1,)


def _channels_first(graph: Graph, view: View) -> bool:
    """Whether the first operation that computes on a (N, ., .) input slides over its last axis."""
    aliases = {view.storage}
    for operation in graph.operations:
        if any(item.storage in aliases for item in operation.inputs):
            new = {item.storage for item in operation.outputs}
            if new - aliases or any(word in operation.name for word in _WINDOWS):
                return any(word in operation.name for word in _WINDOWS)
    return False


def _spatial(graph: Graph) -> View:
    return next((view for view in graph.inputs if input_axes(graph, view)), graph.inputs[0])


class Fields:
    """The fields of all tensors of a graph with respect to one of its inputs.

    Args:
        graph: a traced forward pass, in evaluation mode.
        source: the input; by default the first one that has axes to follow.
        axes: its axes to follow; by default those behind batch and channels.
    """

    def __init__(
        self, graph: Graph, source: View | None = None, axes: Sequence[int] | None = None
    ) -> None:
        self.source = source or _spatial(graph)
        self.axes = tuple(input_axes(graph, self.source) if axes is None else axes)
        self.extents = tuple(self.source.shape[axis] for axis in self.axes)
        self.unknown: dict[str, int] = {}
        self._memory: dict[int, _Memory] = {}
        self._by_output: dict[int, list[Field | None]] = {}
        self._after_write: dict[tuple[int, int], Field | None] = {}
        self._changing = {view.storage for item in graph.operations for view in item.written}
        if self.axes:
            first = fields.input_field(self.source.shape, self.axes)
            self._begin(self.source, first)
            for operation in graph.operations:
                self._run(operation)

    def of(self, operation: Operation) -> list[Field | None]:
        """Fields of the outputs of an operation, at the time when it ran."""
        return self._by_output.get(operation.index, [None] * len(operation.outputs))

    def left_by(self, operations: Sequence[Operation], view: View) -> Field | None:
        """The field of a tensor when some operations had ended, writes through views included."""
        for operation in reversed(operations):
            for output, found in zip(operation.outputs, self.of(operation), strict=True):
                if (output.storage, output.shape) == (view.storage, view.shape):
                    return found
            if (operation.index, view.storage) in self._after_write:
                found = self._after_write[operation.index, view.storage]
                return found if found is None or found.shape == view.shape else self.get(view)
        return self.get(view)

    # -- one operation ---------------------------------------------------------------------

    def _run(self, operation: Operation) -> None:
        if any(item.storage in self._memory for item in operation.inputs):
            made = self._apply(operation)
        elif any(item.storage in self._changing for item in operation.outputs):
            made = [None] * len(operation.outputs)
        else:
            return
        if any(item is not None for item in made):
            self._by_output[operation.index] = made
        written = {view.storage for view in operation.written}
        for place, (view, found) in enumerate(zip(operation.outputs, made, strict=True)):
            if view.storage in written:
                self._write(view, found)
                memory = self._memory[view.storage]
                self._after_write[operation.index, view.storage] = memory.fields[memory.base]
            elif view.storage in self._memory:
                self._derive(view, operation, place)
            elif found is not None or view.storage in self._changing:
                self._begin(view, found)
        if not operation.outputs:
            for view in operation.written:
                self._write(view, self._guess(operation, view))

    def _apply(self, operation: Operation) -> list[Field | None]:
        rule = rule_for(operation)
        if rule is None:
            return [self._guess(operation, view) for view in operation.outputs]
        given = rule(operation, self.get)
        made: list[Field | None] = given if isinstance(given, list) else [given]
        made = [*made, *[None] * (len(operation.outputs) - len(made))][: len(operation.outputs)]
        if _misshapen(operation, made):
            return [self._guess(operation, view) for view in operation.outputs]
        if any(item is not None and item.guessed for item in made) and not any(
            (found := self.get(item)) is not None and found.guessed for item in operation.inputs
        ):
            self._name(operation)
        return made

    def _guess(self, operation: Operation, view: View) -> Field | None:
        if not any(self.get(item) is not None for item in operation.inputs):
            return None
        self._name(operation)
        return fields.whole_field(view.shape, self.extents, guessed=True)

    def _name(self, operation: Operation) -> None:
        self.unknown[operation.qualified_name] = self.unknown.get(operation.qualified_name, 0) + 1

    # -- storages and their views ----------------------------------------------------------

    def _begin(self, view: View, found: Field | None) -> None:
        self._memory[view.storage] = _Memory(_key(view), {_key(view): found})

    def _derive(self, view: View, operation: Operation, place: int) -> None:
        memory = self._memory[view.storage]
        parent = next((item for item in operation.inputs if item.storage == view.storage), None)
        if _key(view) != memory.base and parent is not None and _key(parent) != _key(view):
            memory.parents.setdefault(_key(view), (operation, parent, place))

    def get(self, view: View) -> Field | None:
        """The present field of a tensor; None when it does not depend on the input."""
        memory = self._memory.get(view.storage)
        if memory is None:
            return None
        key = _key(view)
        if key not in memory.fields:
            memory.fields[key] = self._look(memory, view)
        return memory.fields[key]

    def _look(self, memory: _Memory, view: View) -> Field | None:
        found = memory.parents.get(_key(view))
        if found is not None:
            operation, _, place = found
            return self._apply(operation)[place]
        base = memory.fields[memory.base]
        if base is None:
            return None
        if prod(base.shape) == view.count and _dense(view):
            return fields.viewed(base, view.shape)
        self.unknown.setdefault("a view of unknown origin", 1)
        return fields.whole_field(view.shape, self.extents, guessed=True)

    def _write(self, view: View, found: Field | None) -> None:
        """Change a storage through one of its views, and with it all the others."""
        memory = self._memory.get(view.storage)
        if memory is None:  # a buffer or a parameter
            self._begin(view, found)
            return
        key, child = _key(view), view
        if key not in memory.parents and view.count == prod(memory.base[1]):
            self._begin(view, found)  # the whole tensor in another shape or order of memory
            return
        while key != memory.base:
            if key not in memory.parents:
                self.unknown.setdefault("a write through a view of unknown origin", 1)
                found = fields.whole_field(memory.base[1], self.extents, guessed=True)
                break
            operation, parent, place = memory.parents[key]
            found = self._scatter(operation, place, self.get(parent), parent, child, found)
            key, child = _key(parent), parent
        memory.fields = {memory.base: found}

    def _scatter(
        self,
        operation: Operation,
        place: int,
        whole: Field | None,
        parent: View,
        child: View,
        part: Field | None,
    ) -> Field | None:
        """The field of ``parent`` after its view ``child`` became ``part``."""
        if whole is None and part is None:
            return None
        axes = len(self.extents)
        known = part or fields.empty_field(child.shape, axes)
        if child.count == parent.count:
            return _undo(operation, known, parent)
        axis, where = _region(operation, place, parent)
        if axis is None:
            return fields.whole_field(parent.shape, self.extents, guessed=True)
        before = whole or fields.empty_field(parent.shape, axes)
        if len(known.shape) < len(parent.shape):
            known = fields.inserted(known, axis)
        return _pasted(before, axis, where, known, fresh=whole is None)


def _pasted(before: Field, axis: int, where: slice, part: Field, *, fresh: bool) -> Field:
    reach = before.reach.written(axis, where, part.reach)
    begin, _, step = where.indices(before.shape[axis])
    moved = slice_map(-begin)
    lattices, layout = part.lattices, list(part.layout)
    carried = part.carries([axis])
    if carried and step == 1:
        kind = part.layout[axis][0][0]
        followed = part.lattices[kind] if kind >= 0 else None
        shifted = None if followed is None else followed.through(moved)
        lattices = tuple(shifted if place == kind else item for place, item in enumerate(lattices))
    layout[axis] = (
        ((part.layout[axis][0][0], before.shape[axis]),)
        if carried
        else fields.plain(before.shape[axis])
    )
    if not fresh and (lattices != before.lattices or step != 1):
        lattices = (None,) * len(lattices)
    elif step != 1 and carried:
        lattices = tuple(None for _ in lattices)
    return replace(
        part,
        reach=reach,
        layout=tuple(layout),
        lattices=lattices,
        sees_all=part.sees_all or before.sees_all,
        guessed=part.guessed or before.guessed,
    )


def _undo(operation: Operation, part: Field, parent: View) -> Field:
    """A view of all elements, the other way round."""
    if operation.name in ("permute", "transpose", "t", "numpy_T"):
        order = permutation(operation)
        return fields.permuted(part, [order.index(axis) for axis in range(len(order))])
    return fields.viewed(part, parent.shape)


def _region(operation: Operation, place: int, parent: View) -> tuple[int | None, slice]:
    """Which indices of which axis of the parent a view shows."""
    if operation.name in ("slice", "narrow"):
        return slice_of(operation)
    rank = len(parent.shape)
    if operation.name in ("select", "unbind"):
        axis = int(operation.argument("dim")) % rank
        index = (
            operation.argument("index") % parent.shape[axis]
            if operation.name == "select"
            else place
        )
        return axis, slice(index, index + 1)
    if "split" in operation.name or operation.name == "chunk":
        axis = int(operation.argument("dim")) % rank
        begin = sum(view.shape[axis] for view in operation.outputs[:place])
        return axis, slice(begin, begin + operation.outputs[place].shape[axis])
    return None, slice(None)


def _misshapen(operation: Operation, made: Sequence[Field | None]) -> bool:
    """Whether a rule gave a field of another shape than the output: it does not know this form."""
    return any(
        found is not None and found.shape != view.shape
        for found, view in zip(made, operation.outputs, strict=True)
    )


def _key(view: View) -> _Key:
    return view.offset, view.shape, view.stride


def _dense(view: View) -> bool:
    steps = 1
    for size, step in zip(view.shape[::-1], view.stride[::-1], strict=True):
        if size > 1 and step != steps:
            return False
        steps *= size
    return True
