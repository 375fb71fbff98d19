"""Rules for axes: views, slices, and tensors behind one another."""

from __future__ import annotations

from math import prod

import numpy as np

from chainrule.analysis import field as fields
from chainrule.analysis.field import Field
from chainrule.analysis.graph import Operation
from chainrule.analysis.rules import Getter, axis_of, only


@only
def view(operation: Operation, found: Field) -> Field:
    """The same elements in another shape."""
    return fields.viewed(found, operation.outputs[0].shape)


@only
def permute(operation: Operation, found: Field) -> Field:
    """Axes in another order."""
    return fields.permuted(found, permutation(operation))


def permutation(operation: Operation) -> list[int]:
    """Which axis of the input each axis of the output is."""
    rank = len(operation.inputs[0].shape)
    order = list(range(rank))
    if operation.name.rstrip("_") == "permute":
        return [int(axis) % rank for axis in operation.argument("dims")]
    if operation.name.rstrip("_") == "transpose":
        one, other = axis_of(operation, "dim0"), axis_of(operation, "dim1")
        order[one], order[other] = other, one
        return order
    return order[::-1]  # t


@only
def unsqueeze(operation: Operation, found: Field) -> Field:
    """A new axis of length 1."""
    return fields.inserted(found, axis_of(operation, rank=len(found.shape) + 1))


@only
def expand(operation: Operation, found: Field) -> Field:
    """Broadcast."""
    return fields.expanded(found, operation.outputs[0].shape)


def slice_of(operation: Operation) -> tuple[int, slice]:
    """Axis and indices of ``aten::slice``."""
    where = slice(
        operation.argument("start"), operation.argument("end"), operation.argument("step")
    )
    return axis_of(operation), where


@only
def sliced(operation: Operation, found: Field) -> Field:
    """Some indices of an axis."""
    return fields.sliced(found, *slice_of(operation))


@only
def select(operation: Operation, found: Field) -> Field:
    """One index of an axis."""
    axis = axis_of(operation)
    return fields.selected(found, axis, int(operation.argument("index")) % found.shape[axis])


@only
def split(operation: Operation, found: Field) -> list[Field]:
    """Pieces behind one another along an axis."""
    axis, begin, made = axis_of(operation), 0, []
    for output in operation.outputs:
        end = begin + output.shape[axis]
        made.append(fields.sliced(found, axis, slice(begin, end)))
        begin = end
    return made


@only
def unbind(operation: Operation, found: Field) -> list[Field]:
    """Every index of an axis."""
    axis = axis_of(operation)
    return [fields.selected(found, axis, index) for index in range(found.shape[axis])]


@only
def flip(operation: Operation, found: Field) -> Field:
    """Axes backwards."""
    for axis in operation.argument("dims"):
        axis %= len(found.shape)
        found = fields.shuffled(found, axis, np.arange(found.shape[axis])[::-1])
    return found


@only
def roll(operation: Operation, found: Field) -> Field:
    """Axes turned round."""
    shape, axes = found.shape, operation.argument("dims")
    if not axes:
        found, axes = fields.viewed(found, [prod(shape)]), [0]
    for shift, axis in zip(operation.argument("shifts"), axes, strict=True):
        axis %= len(found.shape)
        indices = np.roll(np.arange(found.shape[axis]), shift)
        found = fields.shuffled(found, axis, indices)
    return fields.viewed(found, shape)


def cat(operation: Operation, get: Getter) -> Field | None:
    """Tensors behind one another; empty ones do not count."""
    shape = operation.outputs[0].shape
    views = [item for item in operation.argument("tensors") if item.count or len(item.shape) > 1]
    axis = int(operation.argument("dim")) % len(shape)
    return _laid(shape, axis, [(item.shape, get(item)) for item in views])


def stack(operation: Operation, get: Getter) -> Field | None:
    """Tensors along a new axis."""
    shape = operation.outputs[0].shape
    axis = int(operation.argument("dim")) % len(shape)
    parts = []
    for item in operation.argument("tensors"):
        found = get(item)
        lean = (*shape[:axis], 1, *shape[axis + 1 :])
        parts.append((lean, None if found is None else fields.inserted(found, axis)))
    return _laid(shape, axis, parts)


def _laid(
    shape: tuple[int, ...], axis: int, parts: list[tuple[tuple[int, ...], Field | None]]
) -> Field | None:
    known = [found for _, found in parts if found is not None]
    if not known:
        return None
    axes = len(known[0].lattices)
    whole = [found or fields.empty_field(size, axes) for size, found in parts]
    return fields.concatenated(shape, axis, whole)


@only
def repeat(operation: Operation, found: Field) -> Field:
    """Copies side by side."""
    shape = operation.outputs[0].shape
    found = fields.expanded(found, (1,) * (len(shape) - len(found.shape)) + found.shape)
    for axis, size in enumerate(shape):
        if found.shape[axis] == 1:
            wide = (*found.shape[:axis], size, *found.shape[axis + 1 :])
            found = fields.expanded(found, wide)
        elif size != found.shape[axis]:
            indices = np.arange(size) % found.shape[axis]
            found = fields.shuffled(found, axis, indices)
    return found
