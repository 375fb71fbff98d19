"""Layers: the rows of a graph with all their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from torch import nn

from chainrule.analysis.description import Connection, LayerDescription
from chainrule.analysis.field import Field
from chainrule.analysis.formula import formula_of
from chainrule.analysis.graph import Graph, Operation
from chainrule.analysis.receptive_field import ReceptiveField, receptive_field
from chainrule.analysis.rows import Row, rows_of
from chainrule.analysis.traced import Traced
from chainrule.analysis.tracer import title
from chainrule.analysis.walk import Fields


class Layers:
    """The layers of a traced network.

    Args:
        traced: its graphs.
        fields: the receptive fields of all tensors.
    """

    def __init__(self, traced: Traced, fields: Fields) -> None:
        self.graph, self.fields = traced.evaluation, fields
        self.rows = rows_of(self.graph)
        self.costs = [cost for row in self.rows for cost in row.costs]
        self._batch = traced.inputs.batch
        self._saved = _saved_by_name(traced.training)
        self._owners, self._shared = _owners(self.rows, self.graph)
        self._parameters, self._modules = traced.parameters, traced.layers
        self._in_training = {call.path for call in traced.training.calls}

    def describe(self) -> tuple[LayerDescription, ...]:
        """Every layer, in the order in which they compute; then those that do not."""
        computing = (self._described(place, row) for place, row in enumerate(self.rows))
        return (*computing, *self._idle())

    def _idle(self) -> Iterator[LayerDescription]:
        """Modules whose parameters no operation reads."""
        read = {name for names in self._owners.values() for name in names}
        idle: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self._parameters.items():
            if name not in read:
                idle.setdefault(name.rpartition(".")[0], []).append(parameter)
        for path, owned in idle.items():
            layer = self._modules[path]
            training = path in self._in_training
            yield LayerDescription(
                name=path or type(layer).__name__,
                operation=title(layer),
                output=None,
                parameters=sum(item.numel() for item in owned),
                formula=formula_of(layer, [tuple(item.shape) for item in owned]),
                trainable=sum(item.numel() for item in owned if item.requires_grad),
                depth=path.count(".") + bool(path),
                note="runs in training mode only" if training else "never used",
            )

    def _described(self, place: int, row: Row) -> LayerDescription:
        layer = self._module(row)
        names = self._owners.get(place, [])
        owned = [self._parameters[name] for name in names if name in self._parameters]
        shapes = [tuple(item.shape) for item in owned]
        storages = self.graph.storages
        output = row.output
        return LayerDescription(
            name=row.name,
            operation=row.operation,
            output=None if output is None else self.without_batch(output.shape),
            parameters=sum(prod(shape) for shape in shapes),
            formula=formula_of(layer, shapes),
            trainable=sum(item.numel() for item in owned if item.requires_grad),
            buffers=_buffers(layer, row),
            macs=sum(cost.macs for cost in row.costs),
            flops=sum(cost.flops for cost in row.costs),
            backward_macs=sum(cost.backward_macs for cost in row.costs),
            backward_flops=sum(cost.backward_flops for cost in row.costs),
            activation_bytes=sum(storages[number].bytes for number in row.allocated(self.graph)),
            saved_bytes=self._saved.get(row.name, 0),
            moved_bytes=sum(_moved(item) for item in row.operations),
            receptive_field=self.field_summary(row),
            depth=row.path.count(".") + bool(row.path),
            note="; ".join(self._notes(place, row)),
            unknown=_unknown(row),
        )

    def _module(self, row: Row) -> nn.Module | None:
        return None if row.call is None else self._modules.get(row.call.path)

    def without_batch(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape without the minibatch axis, where it leads."""
        return shape[1:] if shape and shape[0] == self._batch else shape

    # -- receptive field -------------------------------------------------------------------

    def field(self, row: Row) -> Field | None:
        """The field of what a row gives, at the time when it ran."""
        output = row.output
        if output is None or not self.fields.axes:
            return None
        return self.fields.left_by(row.operations, output)

    def field_summary(self, row: Row) -> ReceptiveField | None:
        """The receptive field of a row; None where nothing of the input reaches it."""
        found = self.field(row)
        return None if found is None else receptive_field(found, self.fields.extents)

    # -- remarks ---------------------------------------------------------------------------

    def _notes(self, place: int, row: Row) -> list[str]:
        notes = [text for item in row.operations if (text := unseen_words(item))]
        if self._shared.get(place):
            notes.append(f"weights shared with {self._shared[place]}")
        if row.call is not None and row.call.number:
            notes.append(f"call {row.call.number + 1} of the same module")
        frozen = [self._parameters[name] for name in self._owners.get(place, [])]
        if frozen and not any(item.requires_grad for item in frozen):
            notes.append("frozen")
        return notes

    # -- connections -----------------------------------------------------------------------

    def connections(self) -> tuple[Connection, ...]:
        """Which layer feeds which; -1 stands for the input (source) and the output (target)."""
        makers = {view.storage: {-1} for view in self.graph.inputs}
        place_of = {
            id(item): place for place, row in enumerate(self.rows) for item in row.operations
        }
        found: dict[tuple[int, int], Connection] = {}
        for operation in self.graph.operations:
            place = place_of.get(id(operation))
            sources = self._sources(operation, makers, place, found)
            target = sources if place is None else {place}
            for view in operation.outputs:
                hidden_view = place is None and view.storage in makers
                if target and not hidden_view:
                    makers[view.storage] = target
        for view in self.graph.outputs:
            for source in makers.get(view.storage, ()):
                key = (source, -1)
                found.setdefault(key, Connection(source, -1, self.without_batch(view.shape)))
        return tuple(found.values())

    def _sources(
        self,
        operation: Operation,
        makers: dict[int, set[int]],
        place: int | None,
        found: dict[tuple[int, int], Connection],
    ) -> set[int]:
        sources = set()
        for view in operation.inputs:
            for source in makers.get(view.storage, ()):
                sources.add(source)
                if place is not None and source != place:
                    shape = self.without_batch(view.shape)
                    found.setdefault((source, place), Connection(source, place, shape))
        return sources


def _buffers(layer: nn.Module | None, row: Row) -> int:
    """Numbers in the buffers of a layer, told once however often it is called."""
    if layer is None or (row.call is not None and row.call.number):
        return 0
    return sum(item.numel() for item in layer.buffers())


def _saved_by_name(graph: Graph) -> dict[str, int]:
    """Bytes that autograd keeps of what each layer makes, in training mode."""
    storages = graph.storages
    return {
        row.name: sum(
            storages[number].bytes
            for number in row.allocated(graph)
            if storages[number].saved is not None
        )
        for row in rows_of(graph)
    }


def _owners(rows: Sequence[Row], graph: Graph) -> tuple[dict[int, list[str]], dict[int, str]]:
    """Parameters by the first row that reads them, and rows whose parameters another one owns."""
    owner: dict[int, int] = {}
    names: dict[int, list[str]] = {}
    shared: dict[int, str] = {}
    for place, row in enumerate(rows):
        for operation in row.operations:
            for view in operation.inputs:
                storage = graph.storages[view.storage]
                if storage.origin != "parameter":
                    continue
                if view.storage not in owner:
                    owner[view.storage] = place
                    names.setdefault(place, []).append(storage.name)
                elif owner[view.storage] != place:
                    shared[place] = rows[owner[view.storage]].name
    return names, shared


def _moved(operation: Operation) -> int:
    if operation.function.is_view:
        return 0
    return sum(view.bytes for view in (*operation.inputs, *operation.outputs))


def _unknown(row: Row) -> tuple[str, ...]:
    pairs = zip(row.operations, row.costs, strict=True)
    return tuple(sorted({item.qualified_name for item, cost in pairs if not cost.known}))


def unseen(operation: Operation) -> tuple[int, ...]:
    """Rows, columns, ... at the end of its input that a window never reaches, per axis."""
    name = operation.name
    pool = name.startswith(("max_pool", "avg_pool"))
    if not (pool or name == "convolution") or (pool and operation.argument("ceil_mode")):
        return ()
    source = operation.inputs[0]
    if pool:
        kernel = list(operation.argument("kernel_size"))
    else:
        if operation.argument("transposed"):
            return ()
        kernel = list(operation.inputs[1].shape[2:])
    axes = len(source.shape) - 2 if not pool else len(operation.outputs[0].shape) - 2
    axes = max(axes, len(kernel))
    stride = _spread(operation.argument("stride") or kernel, axes)
    padding = _spread(operation.argument("padding"), axes)
    dilated = not pool or "max" in name
    dilation = _spread(operation.argument("dilation") if dilated else [1], axes)
    sides = source.shape[len(source.shape) - axes :]
    return tuple(
        max((side + 2 * pad - gap * (size - 1) - 1) % step - pad, 0)
        for side, size, step, pad, gap in zip(
            sides, _spread(kernel, axes), stride, padding, dilation, strict=True
        )
    )


def _spread(values: Sequence[int], axes: int) -> list[int]:
    given = list(values)
    return given * axes if len(given) == 1 else given


def unseen_words(operation: Operation) -> str:
    """ "the last row and 2 columns of its input never seen", "" when all is seen."""
    lost = unseen(operation)
    if not any(lost):
        return ""
    names = {1: ("position",), 2: ("row", "column"), 3: ("plane", "row", "column")}[len(lost)]
    parts = [
        f"{count} {name}{'s' * (count > 1)}" if count > 1 else f"{name}"
        for name, count in zip(names, lost, strict=True)
        if count
    ]
    return f"the last {' and '.join(parts)} of its input never seen"
