"""Receptive field: what the units of a layer see of the network's input, summed up.

``r = r + (k - 1) j, j = j s`` along a chain (Araujo, Norris & Sim 2019, Computing Receptive
Fields of Convolutional Neural Networks, Distill); through branches, fractional strides and
slices by following every unit of a period, and at the borders every single unit (``walk``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from chainrule.analysis.field import Field
from chainrule.analysis.lattice import Lattice
from chainrule.answer import Answer


@dataclass(frozen=True)
class ReceptiveField(Answer):
    """What a unit of a layer sees of the input; one number per input axis (height, width).

    Attributes:
        size: positions from the first to the last that a unit away from the borders sees; where
            it varies by position the largest, and where a global operation lies behind the
            layer the size along the local path. None where there is no local path.
        smallest: the smallest such size; equal to ``size`` where all units see alike.
        period: units after which the sizes repeat.
        jump: input positions from one unit to the next.
        padding: positions that the first unit sees before the input begins, and the last unit
            after it ends.
        centre: input position in the middle of the first unit's field.
        holes: positions inside the field that a unit does not see (dilation).
        whole: whether a unit sees the whole input through a global operation.
        clipped: share of the layer's units whose field is cut by the border.
        exact: False where an operation without a rule makes the field an upper bound.
        offset: largest distance between the centres of branches that met on the way.
        box: (first, last) input position that any unit of the layer really sees, per axis.
    """

    size: tuple[int, ...] | None
    smallest: tuple[int, ...] | None
    period: tuple[int, ...]
    jump: tuple[float | None, ...]
    padding: tuple[tuple[int, int], ...]
    centre: tuple[float, ...]
    holes: tuple[int, ...]
    whole: bool
    clipped: float
    exact: bool
    offset: float
    box: tuple[tuple[int, int], ...]


def receptive_field(found: Field, extents: tuple[int, ...]) -> ReceptiveField:
    """The summary of a field.

    Args:
        found: the field of a tensor.
        extents: sizes of the input along its axes.
    """
    axes = range(len(extents))
    known = all(lattice is not None for lattice in found.lattices)
    parts = [_axis_summary(found, axis, extents[axis]) for axis in axes]
    local = known or not found.sees_all
    return ReceptiveField(
        size=tuple(part.size for part in parts) if local else None,
        smallest=tuple(part.smallest for part in parts) if local else None,
        period=tuple(part.period for part in parts),
        jump=tuple(part.jump for part in parts),
        padding=tuple(part.padding for part in parts),
        centre=tuple(part.centre for part in parts),
        holes=tuple(part.holes for part in parts),
        whole=found.sees_all,
        clipped=1 - prod(1 - part.clipped for part in parts),
        exact=not found.guessed,
        offset=found.offset,
        box=tuple(_seen(found, axis) for axis in axes),
    )


@dataclass(frozen=True)
class _AxisSummary:
    size: int
    smallest: int
    period: int
    jump: float | None
    padding: tuple[int, int]
    centre: float
    holes: int
    clipped: float


def _axis_summary(found: Field, axis: int, extent: int) -> _AxisSummary:
    lattice = found.lattices[axis]
    if lattice is not None:
        return _of_lattice(lattice, found.units(axis), extent)
    low, high = found.reach.low[axis], found.reach.high[axis]
    widths = np.maximum(high - low + 1, 0)
    low, high = np.broadcast_arrays(low, high)
    first = (int(low.flat[0]), int(high.flat[0]))
    return _AxisSummary(
        int(widths.max()), int(widths.min()), 0, None, (0, 0), sum(first) / 2, 0, 0.0
    )


@lru_cache(maxsize=1024)
def _of_lattice(lattice: Lattice, units: int, extent: int) -> _AxisSummary:
    spans = [lattice.span(unit) for unit in range(units)]
    cut = sum(low < 0 or high >= extent for low, high in spans)
    padding = (max(-spans[0][0], 0), max(spans[-1][1] - extent + 1, 0))
    return _AxisSummary(
        lattice.width,
        min(lattice.widths),
        lattice.period,
        lattice.jump,
        padding,
        sum(spans[0]) / 2,
        lattice.holes,
        cut / units if units else 0.0,
    )


def _seen(found: Field, axis: int) -> tuple[int, int]:
    return int(found.reach.low[axis].min()), int(found.reach.high[axis].max())
