"""Rules for mixing: reductions, normalization, matrix products, attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chainrule.analysis import field as fields
from chainrule.analysis.field import Field
from chainrule.analysis.graph import Operation, View
from chainrule.analysis.rules import Getter, axis_of, only


def _axes(operation: Operation, rank: int) -> list[int]:
    names = [item.name for item in operation.function._schema.arguments]
    given = operation.argument("dim") if "dim" in names else None
    if given is None or given == []:
        return list(range(rank))
    return [axis % max(rank, 1) for axis in ([given] if isinstance(given, int) else given)]


@only
def reduction(operation: Operation, found: Field) -> list[Field]:
    """Sums, means, norms and extremes over axes."""
    names = [item.name for item in operation.function._schema.arguments]
    keep = bool(operation.argument("keepdim")) if "keepdim" in names else False
    made = fields.reduced(found, _axes(operation, len(found.shape)), keep)
    return [made] * len(operation.outputs)


@only
def mixing(operation: Operation, found: Field) -> list[Field]:
    """Softmax, sorting: every unit along an axis depends on all of them."""
    made = fields.mixed(found, _axes(operation, len(found.shape)))
    shapes = [output.shape for output in operation.outputs]
    return [made if shape == made.shape else _shrunk(made, shape) for shape in shapes]


def _shrunk(found: Field, shape: tuple[int, ...]) -> Field:
    for axis, size in enumerate(shape):
        if size != found.shape[axis]:
            found = fields.sliced(found, axis, slice(0, size))
    return found


@only
def cumulative(operation: Operation, found: Field) -> list[Field]:
    """Cumulative sums."""
    axis = axis_of(operation)
    seen = found.sees_all or found.carries([axis])
    made = replace(found, reach=found.reach.accumulated(axis), sees_all=seen)
    return [made] * len(operation.outputs)


def layer_norm(operation: Operation, get: Getter) -> Any:
    """Statistics over the last axes."""
    found = get(operation.inputs[0])
    if found is None:
        return None
    rank = len(found.shape)
    made = fields.mixed(found, range(rank - len(operation.argument("normalized_shape")), rank))
    return [made, *[None] * (len(operation.outputs) - 1)]


def group_norm(operation: Operation, get: Getter) -> Any:
    """Statistics over the spatial axes and the channels of a group."""
    found = get(operation.inputs[0])
    if found is None:
        return None
    made = fields.mixed(found, range(2, len(found.shape)))
    made = replace(made, reach=made.reach.grouped(1, operation.argument("group")))
    return [made, *[None] * (len(operation.outputs) - 1)]


def batch_norm(operation: Operation, get: Getter) -> Any:
    """Running statistics see nothing else; batch statistics see the whole image."""
    found = get(operation.inputs[0])
    if found is None:
        return None
    names = [item.name for item in operation.function._schema.arguments]
    position = "training" if "training" in names else "train"
    if position in names and operation.argument(position):
        found = fields.mixed(found, [0, *range(2, len(found.shape))])
    return [found, *[None] * (len(operation.outputs) - 1)]


def matrix_product(operation: Operation, get: Getter) -> Field | None:
    """mm, bmm, addmm, baddbmm: rows of the one with columns of the other."""
    *added, left, right = [item for item in operation.arguments if isinstance(item, View)]
    shape = operation.outputs[0].shape
    parts = []
    for item, contracted in ((left, len(left.shape) - 1), (right, max(len(right.shape) - 2, 0))):
        found = get(item)
        if found is not None:
            found = fields.reduced(found, [contracted], keep=True)
            parts.append(_fit(found, shape, item is right))
    parts += [found for item in added if (found := get(item)) is not None]
    return fields.joined(shape, parts) if parts else None


def _fit(found: Field, shape: tuple[int, ...], right: bool) -> Field:
    """A contracted operand in the rank of the product (for vectors)."""
    if len(found.shape) == len(shape):
        return found
    lost = 0 if right else len(found.shape) - 1
    return fields.selected(found, lost, 0) if len(found.shape) > len(shape) else found


def attention(operation: Operation, get: Getter) -> Any:
    """Every query sees all keys and values; with the causal mask those up to itself."""
    query, key, value = (get(operation.argument(name)) for name in ("query", "key", "value"))
    shape = operation.outputs[0].shape
    parts = [] if query is None else [fields.reduced(query, [len(shape) - 1], keep=True)]
    causal = bool(operation.argument("is_causal"))
    for found in (key, value):
        if found is None:
            continue
        axis = len(found.shape) - 2
        context = fields.reduced(found, [len(shape) - 1], keep=True)
        if causal and found.shape[axis] == shape[axis]:
            context = replace(context, reach=context.reach.accumulated(axis))
            context = replace(context, sees_all=True, lattices=(None,) * len(found.lattices))
        else:
            context = fields.reduced(context, [axis], keep=True)
        parts.append(context)
    made = fields.joined(shape, parts) if parts else None
    return [made, *[None] * (len(operation.outputs) - 1)]
