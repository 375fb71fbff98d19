"""Rules for lookups: which places are read depends on values, so fields are upper bounds.

Along an axis that no input axis runs along (channels, features) any index may be read and the
local field stays; along an axis of places the field is guessed, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from chainrule.analysis import field as fields
from chainrule.analysis.field import Field
from chainrule.analysis.graph import Operation, View
from chainrule.analysis.rules import Getter, axis_of, only, whole


def embedding(operation: Operation, get: Getter) -> Field | None:
    """Rows of a table, chosen by indices."""
    found = get(operation.argument("indices"))
    if found is None:
        return None
    made = fields.inserted(found, len(found.shape))
    return fields.expanded(made, operation.outputs[0].shape)


def indexed(operation: Operation, get: Getter) -> Any:
    """``x[:, indices]``: the indexed axes give way to those of the indices."""
    source: View = operation.inputs[0]
    indices = list(operation.argument("indices"))
    axes = [axis for axis, item in enumerate(indices) if item is not None]
    if any(indices[axis].dtype in (torch.bool, torch.uint8) for axis in axes):  # masks
        return _bound(operation, get)
    together = axes == list(range(axes[0], axes[-1] + 1))
    shape = operation.outputs[0].shape
    new = len(shape) - (len(source.shape) - len(axes))
    at = axes[0] if together else 0
    parts = []
    if (found := get(source)) is not None:
        picked = _any_of(found, axes, keep=False)
        parts.append(_widened(picked, at, new))
    parts += [
        _aligned(part, at, new, len(shape))
        for axis in axes
        if (part := get(indices[axis])) is not None
    ]
    return fields.joined(shape, parts) if parts else None


def gathered(operation: Operation, get: Getter) -> Field | None:
    """``gather``, ``index_select``, ``take_along_dim``: any index along one axis."""
    source, shape = operation.inputs[0], operation.outputs[0].shape
    axis = axis_of(operation)
    parts = []
    if (found := get(source)) is not None:
        picked = _any_of(found, [axis], keep=True)
        parts.append(_cut(picked, shape))
    index = get(operation.argument("index"))
    if index is not None and len(index.shape) == len(shape):
        parts.append(replace(index, guessed=True))
    elif index is not None:
        parts.append(whole(operation, [index])[0])
    return fields.joined(shape, parts) if parts else None


def scattered(operation: Operation, get: Getter) -> Any:
    """``scatter``, ``index_add``, ``index_copy``: any source may land at any index of one axis."""
    shape, axis = operation.outputs[0].shape, axis_of(operation)
    parts = [] if (base := get(operation.inputs[0])) is None else [base]
    for view in operation.inputs[1:]:
        if (found := get(view)) is None:
            continue
        if len(found.shape) != len(shape):
            return _bound(operation, get)
        parts.append(_cut(_any_of(found, [axis], keep=True), shape))
    made = fields.joined(shape, parts) if parts else None
    return None if made is None else replace(made, guessed=True)


def transformed(operation: Operation, get: Getter) -> Field | None:
    """Fourier transforms: every frequency sees all places along the transformed axes."""
    found = get(operation.inputs[0])
    if found is None:
        return None
    axes = [axis % len(found.shape) for axis in operation.argument("dim")]
    made = fields.reduced(found, axes, keep=True)
    return fields.expanded(made, operation.outputs[0].shape)


@only
def as_pairs(operation: Operation, found: Field) -> Field:
    """A complex number as its real and imaginary part, along a new last axis."""
    made = fields.inserted(found, len(found.shape))
    return fields.expanded(made, operation.outputs[0].shape)


@only
def from_pairs(_operation: Operation, found: Field) -> Field:
    """Two numbers along the last axis as one complex number."""
    return fields.reduced(found, [len(found.shape) - 1], keep=False)


@only
def unfold(operation: Operation, found: Field) -> Any:
    """Patches (``im2col``): each element is taken to see its whole patch, an upper bound."""
    return _bound(operation, lambda _view: found)


def anywhere(operation: Operation, get: Getter) -> Any:
    """Any unit may see all that any unit of its sources sees, an upper bound."""
    return _bound(operation, get)


def _bound(operation: Operation, get: Getter) -> Any:
    made = whole(operation, [part for item in operation.inputs if (part := get(item))])
    return None if made is None else replace(made[0], guessed=True)


def _any_of(found: Field, axes: Sequence[int], *, keep: bool) -> Field:
    """What any index along the axes sees; guessed where places, not channels, are chosen."""
    return replace(
        fields.reduced(found, axes, keep), guessed=found.guessed or not _alike(found, axes)
    )


def _alike(found: Field, axes: Sequence[int]) -> bool:
    """Whether all indices along the axes see the same."""
    reach = found.reach
    return all(
        side.shape[axis] == 1 or bool((side == side.take([0], axis)).all())
        for side in (*reach.low, *reach.high)
        for axis in axes
    )


def _widened(found: Field, at: int, count: int) -> Field:
    for _ in range(count):
        found = fields.inserted(found, at)
    return found


def _aligned(found: Field, at: int, count: int, rank: int) -> Field:
    """The field of an index tensor, its axes where they stand in the output; guessed."""
    for _ in range(rank - at - count):
        found = fields.inserted(found, len(found.shape))
    return replace(found, guessed=True)


def _cut(found: Field, shape: tuple[int, ...]) -> Field:
    """The first indices of axes that the output has fewer of."""
    for axis, size in enumerate(shape):
        if 1 < size < found.shape[axis]:
            found = fields.sliced(found, axis, slice(0, size))
        elif size == 1 < found.shape[axis]:
            found = fields.sliced(found, axis, slice(0, 1))
    return found
