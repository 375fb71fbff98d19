"""Rows: the operations of a graph gathered into the layers that a reader knows.

A module of PyTorch's own without further modules inside is one layer, whatever it runs; in
other modules every call of a PyTorch function is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.analysis.cost import Cost, cost_of
from chainrule.analysis.graph import Call, Graph, Operation, View
from chainrule.analysis.memory import own

_NAMES = {
    "addmm": "linear", "mm": "matmul", "bmm": "matmul", "convolution": "conv",
    "max_pool2d_with_indices": "max_pool2d", "max_pool3d_with_indices": "max_pool3d",
    "native_batch_norm": "batch_norm", "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
}  # fmt: skip
_SETTERS = ("__get__", "__set__", "")


@dataclass(slots=True)
class Row:
    """One layer.

    Attributes:
        name: its path, with a number where it would not be the only one.
        operation: what it is.
        path: path of the module it belongs to.
        call: the module call, None for a function.
        operations: what it ran.
        costs: their costs, in the same order.
        first: when it began.
    """

    name: str
    operation: str
    path: str
    call: Call | None
    operations: list[Operation] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    first: int = 0

    @property
    def output(self) -> View | None:
        """The tensor that it gives."""
        if self.call is not None:
            return self.call.outputs[0] if self.call.outputs else None
        outputs = [view for item in self.operations for view in item.outputs]
        return outputs[-1] if len(self.operations[-1].outputs) == 1 else _first_of(self.operations)

    def allocated(self, graph: Graph) -> list[int]:
        """Numbers of the storages that it made."""
        made = {item.index for item in self.operations}
        return sorted(
            {
                view.storage
                for item in self.operations
                for view in item.outputs
                if graph.storages[view.storage].made in made and own(graph.storages[view.storage])
            }
        )


def _first_of(operations: list[Operation]) -> View | None:
    return operations[-1].outputs[0] if operations[-1].outputs else None


def rows_of(graph: Graph) -> list[Row]:
    """The layers of a graph in the order in which they began."""
    parents = {id(call.parent) for call in graph.calls}
    made: dict[object, Row] = {}
    for call in graph.calls:
        if _is_layer(call, parents) and not _inside_closed(call):
            made[id(call)] = Row("", call.title, call.path, call, first=call.first)
    for operation in graph.operations:
        layer = _layer_of(operation.call, parents)
        key: object = id(layer) if layer is not None else (id(operation.call), operation.spelled[1])
        if key not in made:
            made[key] = Row("", "", operation.call.path, None, first=operation.index)
        made[key].operations.append(operation)
        made[key].costs.append(cost_of(operation))
    rows = sorted(made.values(), key=lambda row: (row.first, row.call is None))
    return _named([row for row in rows if _shown(row, graph)])


def _is_layer(call: Call, parents: set[int]) -> bool:
    return call.closed or (call.packaged and id(call) not in parents)


def _inside_closed(call: Call) -> bool:
    parent = call.parent
    while parent is not None:
        if parent.closed:
            return True
        parent = parent.parent
    return False


def _layer_of(call: Call, parents: set[int]) -> Call | None:
    """The call that an operation counts under, None when it stands for itself."""
    found, walker = (call if _is_layer(call, parents) else None), call.parent
    while walker is not None:
        found = walker if walker.closed else found
        walker = walker.parent
    return found


def _shown(row: Row, graph: Graph) -> bool:
    if row.call is not None:
        return row.call.kind != "Identity" or bool(row.operations)
    dependent = any(own(graph.storages[v.storage]) for o in row.operations for v in o.inputs)
    counts = any(cost.flops or not cost.known for cost in row.costs)
    return counts or (dependent and bool(row.allocated(graph)))


def _named(rows: list[Row]) -> list[Row]:
    seen: dict[str, int] = {}
    for row in rows:
        if row.call is None:
            row.operation = _spelled(row)
        name = (
            row.path
            if row.call is not None
            else ".".join(part for part in (row.path, row.operation) if part)
        )
        name = name or row.operation.split()[0]
        seen[name] = seen.get(name, 0) + 1
        row.name = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return rows


def _spelled(row: Row) -> str:
    """The function as the network's author wrote it."""
    heavy = max(zip(row.costs, row.operations, strict=True), key=lambda pair: pair[0].flops)[1]
    name = heavy.spelled[0]
    if name in _SETTERS or name.startswith("_VF"):
        name = _NAMES.get(heavy.name, heavy.name)
    return name.strip("_").removesuffix("_") or heavy.name
