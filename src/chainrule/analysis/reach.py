"""Reach: the exact box of input positions that each unit sees, borders included.

For every input axis two integer arrays, the first and the last position seen, that broadcast to
the tensor's shape: axes along which nothing changes have length 1, so a volume of a million
units needs a few hundred numbers. Every ATen operation moves these arrays as it moves values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from chainrule.analysis.lattice import AxisMap

Array = NDArray[np.int32]
NONE_LOW, NONE_HIGH = 2**30, -(2**30)  # a unit that sees nothing: the last before the first


@dataclass(frozen=True)
class Reach:
    """First and last input position seen, per input axis, broadcastable to ``shape``."""

    shape: tuple[int, ...]
    low: tuple[Array, ...]
    high: tuple[Array, ...]

    def _map(self, shape: Sequence[int], change: Callable[[Array, bool], Array]) -> Reach:
        low = tuple(change(array, True) for array in self.low)
        high = tuple(change(array, False) for array in self.high)
        return Reach(tuple(shape), low, high)

    def lean(self, axis: int) -> bool:
        """Whether nothing changes along an axis."""
        return all(array.shape[axis] == 1 for array in (*self.low, *self.high))

    # -- axes ------------------------------------------------------------------------------

    def permuted(self, order: Sequence[int]) -> Reach:
        """Axes in another order."""
        shape = [self.shape[axis] for axis in order]
        return self._map(shape, lambda array, _: array.transpose(order))

    def viewed(self, shape: Sequence[int]) -> Reach:
        """The same elements in another shape."""
        groups = regrouped(self.shape, tuple(shape))

        def change(array: Array, _low: bool) -> Array:
            full, made = list(array.shape), [1] * len(shape)
            for before, after in groups:
                if any(array.shape[axis] > 1 for axis in before):
                    for axis in before:
                        full[axis] = self.shape[axis]
                    for axis in after:
                        made[axis] = shape[axis]
            return np.broadcast_to(array, full).reshape(made)

        return self._map(shape, change)

    def expanded(self, shape: Sequence[int]) -> Reach:
        """Broadcast to a larger shape, new axes in front."""
        missing = len(shape) - len(self.shape)
        return self._map(shape, lambda array, _: array.reshape((1,) * missing + array.shape))

    def inserted(self, axis: int, size: int = 1) -> Reach:
        """A new axis along which nothing changes."""
        shape = (*self.shape[:axis], size, *self.shape[axis:])
        return self._map(shape, lambda array, _: np.expand_dims(array, axis))

    def sliced(self, axis: int, where: slice) -> Reach:
        """Some indices of an axis."""
        size = len(range(*where.indices(self.shape[axis])))
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        key = (slice(None),) * axis + (where,)
        return self._map(shape, lambda a, _: a[key] if a.shape[axis] > 1 else a)

    def selected(self, axis: int, index: int) -> Reach:
        """One index of an axis, which goes."""
        shape = self.shape[:axis] + self.shape[axis + 1 :]

        def change(array: Array, _low: bool) -> Array:
            place = [index if array.shape[axis] > 1 else 0]
            return array.take(place, axis=axis).squeeze(axis)

        return self._map(shape, change)

    def taken(self, axis: int, indices: NDArray[np.intp]) -> Reach:
        """Indices of an axis in any order (flip, roll)."""
        shape = (*self.shape[:axis], len(indices), *self.shape[axis + 1 :])
        return self._map(shape, lambda a, _: a.take(indices, axis=axis) if a.shape[axis] > 1 else a)

    # -- mixing ----------------------------------------------------------------------------

    def reduced(self, axes: Iterable[int], keep: bool = True) -> Reach:
        """Each unit sees what any unit along the axes sees."""
        chosen = tuple(axes)
        shape = [1 if axis in chosen else size for axis, size in enumerate(self.shape)]

        def change(array: Array, low: bool) -> Array:
            fold = np.minimum if low else np.maximum
            made: Array = fold.reduce(array, axis=chosen, keepdims=True)
            return made

        made = self._map(shape, change)
        if keep:
            return made
        kept = [size for axis, size in enumerate(shape) if axis not in chosen]
        return made._map(kept, lambda array, _: array.squeeze(chosen))

    def mixed(self, axes: Iterable[int]) -> Reach:
        """As ``reduced``, but the axes keep their size."""
        return Reach(self.shape, (made := self.reduced(axes)).low, made.high)

    def accumulated(self, axis: int) -> Reach:
        """Each unit sees what the units up to it see (cumulative sums, causal attention)."""

        def change(array: Array, low: bool) -> Array:
            return (np.minimum if low else np.maximum).accumulate(array, axis=axis)

        return self._map(self.shape, change)

    def grouped(self, axis: int, groups: int) -> Reach:
        """Each unit sees what any unit of its group of neighbours along ``axis`` sees."""
        size = self.shape[axis]
        if groups == 1 or self.lean(axis):
            return self.mixed((axis,))
        split = (*self.shape[:axis], groups, size // groups, *self.shape[axis + 1 :])
        return self.viewed(split).mixed((axis + 1,)).viewed(self.shape)

    def windowed(self, axis: int, moved: AxisMap, size: int) -> Reach:
        """Each unit sees what the units in its window along ``axis`` see."""
        indices, inside = _indices(moved, self.shape[axis], size)
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        every = bool(inside.any(axis=1).all())
        aside = (None,) * axis
        mask = inside[(*aside, slice(None), slice(None), *(None,) * (len(shape) - axis - 1))]

        def change(array: Array, low: bool) -> Array:
            if array.shape[axis] == 1:
                if every:
                    return array
                array = np.broadcast_to(
                    array, (*array.shape[:axis], self.shape[axis], *array.shape[axis + 1 :])
                )
            none = NONE_LOW if low else NONE_HIGH
            taken = np.where(mask, array.take(indices, axis=axis), np.int32(none))
            made: Array = (np.minimum if low else np.maximum).reduce(taken, axis=axis + 1)
            return made

        return self._map(shape, change)

    # -- several ---------------------------------------------------------------------------

    def written(self, axis: int, where: slice, other: Reach) -> Reach:
        """With ``other`` written over the indices ``where`` of an axis."""
        pairs = (
            zip(mine, its, strict=True)
            for mine, its in ((self.low, other.low), (self.high, other.high))
        )
        made = []
        for arrays in pairs:
            changed = []
            for array, new in arrays:
                full = [max(sizes) for sizes in zip(array.shape, new.shape, strict=True)]
                full[axis] = self.shape[axis]
                copy = np.broadcast_to(array, full).copy()
                copy[(slice(None),) * axis + (where,)] = new
                changed.append(copy)
            made.append(tuple(changed))
        return Reach(self.shape, made[0], made[1]).compressed()

    def compressed(self) -> Reach:
        """The same with axes of length 1 wherever nothing changes along them."""
        return self._map(self.shape, lambda array, _: _compressed(array))


def whole(shape: Sequence[int], extents: Sequence[int]) -> Reach:
    """Every unit sees every input position."""
    one = (1,) * len(shape)
    low = tuple(np.zeros(one, np.int32) for _ in extents)
    high = tuple(np.full(one, extent - 1, np.int32) for extent in extents)
    return Reach(tuple(shape), low, high)


def nothing(shape: Sequence[int], axes: int) -> Reach:
    """No unit sees any input position."""
    one = (1,) * len(shape)
    low = tuple(np.full(one, NONE_LOW, np.int32) for _ in range(axes))
    high = tuple(np.full(one, NONE_HIGH, np.int32) for _ in range(axes))
    return Reach(tuple(shape), low, high)


def identity(shape: Sequence[int], axes: Sequence[int]) -> Reach:
    """Every unit along the ``axes`` sees the input position of its own index."""
    arrays = []
    for axis in axes:
        lean = [1] * len(shape)
        lean[axis] = shape[axis]
        arrays.append(np.arange(shape[axis], dtype=np.int32).reshape(lean))
    return Reach(tuple(shape), tuple(arrays), tuple(arrays))


def combined(shape: Sequence[int], parts: Sequence[Reach]) -> Reach:
    """Each unit sees what the units at its place in any part see; parts are broadcast."""
    if len(parts) == 1:
        return parts[0].expanded(shape)
    aligned = [part if part.shape == tuple(shape) else part.expanded(shape) for part in parts]
    low = tuple(
        _fold(np.minimum, [part.low[axis] for part in aligned]) for axis in range(len(parts[0].low))
    )
    high = tuple(
        _fold(np.maximum, [part.high[axis] for part in aligned])
        for axis in range(len(parts[0].high))
    )
    return Reach(tuple(shape), low, high)


def _fold(operation: np.ufunc, arrays: list[Array]) -> Array:
    made = arrays[0]
    for array in arrays[1:]:
        made = made if array is made else operation(made, array)
    return made


def concatenated(shape: Sequence[int], axis: int, parts: Sequence[Reach]) -> Reach:
    """Parts behind one another along ``axis``."""

    def joined(arrays: list[Array]) -> Array:
        if all(
            a.shape[axis] == 1 and a.shape == arrays[0].shape and (a == arrays[0]).all()
            for a in arrays
        ):
            return arrays[0]
        lean = np.broadcast_shapes(*((*a.shape[:axis], 1, *a.shape[axis + 1 :]) for a in arrays))
        full = [
            np.broadcast_to(a, (*lean[:axis], part.shape[axis], *lean[axis + 1 :]))
            for a, part in zip(arrays, parts, strict=True)
        ]
        return _compressed(np.concatenate(full, axis=axis))

    axes = range(len(parts[0].low))
    low = tuple(joined([part.low[place] for part in parts]) for place in axes)
    high = tuple(joined([part.high[place] for part in parts]) for place in axes)
    return Reach(tuple(shape), low, high)


def _compressed(array: Array) -> Array:
    for axis, size in enumerate(array.shape):
        if size > 1:
            first = array[(slice(None),) * axis + (slice(0, 1),)]
            if (array == first).all():
                array = first
    return array


@lru_cache(maxsize=1024)
def _indices(
    moved: AxisMap, inputs: int, outputs: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(output, tap) -> input position, and whether there is one."""
    most = max(len(taps) for taps in moved.taps)
    base = np.zeros((moved.outputs, most), np.int64)
    there = np.zeros((moved.outputs, most), bool)
    for phase, taps in enumerate(moved.taps):
        base[phase, : len(taps)], there[phase, : len(taps)] = taps, True
    turn, phase_of = np.divmod(np.arange(outputs), moved.outputs)
    places = base[phase_of] + turn[:, None] * moved.inputs
    inside = there[phase_of]
    if moved.border == "reflect":
        places = np.abs(places)
        places = np.where(places > inputs - 1, 2 * (inputs - 1) - places, places)
    elif moved.border == "pair":
        first = np.maximum(places[:, :1], 0)
        places = np.minimum(first + np.arange(2), inputs - 1)
    elif moved.border == "drop":
        inside = inside & (places >= 0) & (places < inputs)
    return np.clip(places, 0, max(inputs - 1, 0)).astype(np.intp), inside


@lru_cache(maxsize=4096)
def regrouped(
    before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Groups of axes with equal products, such that a reshape works within each group.

    Examples:
        >>> regrouped((2, 3, 4), (6, 4))
        (((0, 1), (0,)), ((2,), (1,)))
    """
    groups, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        left, right = [i] if i < len(before) else [], [j] if j < len(after) else []
        i, j = i + len(left), j + len(right)
        while prod(before[k] for k in left) != prod(after[k] for k in right):
            if prod(before[k] for k in left) < prod(after[k] for k in right) and i < len(before):
                left.append(i)
                i += 1
            elif j < len(after):
                right.append(j)
                j += 1
            else:
                left.append(i)
                i += 1
        groups.append((tuple(left), tuple(right)))
    return tuple(groups)
