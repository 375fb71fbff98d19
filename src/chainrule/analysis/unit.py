"""Unit: the exact box of input positions that one unit of a layer sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.analysis.describe import InputLike, Network
from chainrule.analysis.inputs import read_inputs, single_shape
from chainrule.analysis.layers import Layers
from chainrule.analysis.traced import subject_of, traced
from chainrule.analysis.walk import Fields
from chainrule.answer import Answer
from chainrule.errors import ShapeError, suggestion


@dataclass(frozen=True)
class UnitBox(Answer):
    """What a unit sees.

    Attributes:
        layer: name of the layer.
        unit: index along the layer's last axes (row, column).
        box: (first, last) input position per axis, inside the input, over all channels.
        unclipped: the same with the padding that it sees; None where there is no pattern.
        exact: False where an operation without a rule makes the box an upper bound.
    """

    layer: str
    unit: tuple[int, ...]
    box: tuple[tuple[int, int], ...]
    unclipped: tuple[tuple[int, int], ...] | None
    exact: bool


def unit_box(
    network: Network,
    input: InputLike = None,  # noqa: A002 - the notation's own word
    *,
    layer: str,
    unit: tuple[int, ...],
) -> UnitBox:
    """The box of input positions that a unit sees, borders included.

    Args:
        network: a module, or what ``describe`` takes.
        input: shape of one example.
        layer: name of the layer, as ``describe`` lists it.
        unit: index along the layer's last axes, one number per axis of the receptive field.

    Raises:
        ShapeError: no such layer or unit.

    Examples:
        >>> unit_box("INPUT 8x8x1, CONV3-4, POOL2", layer="pool1", unit=(0, 3)).box
        ((0, 2), (5, 7))
    """
    subject = subject_of(network, single_shape(input))
    found = traced(subject, read_inputs(input, subject.module, 1))
    fields = Fields(found.evaluation)
    layers = Layers(found, fields)
    rows = {row.name: row for row in layers.rows}
    if layer not in rows:
        raise ShapeError(f"layer got '{layer}'{suggestion(layer, rows)}; wants one that is listed")
    field = layers.field(rows[layer])
    if field is None:
        raise ShapeError(f"layer '{layer}' depends on no place of the input")
    places = field.shape[len(field.shape) - len(unit) :]
    if len(unit) >= len(field.shape) or any(
        not 0 <= index < size for index, size in zip(unit, places, strict=True)
    ):
        wanted = " x ".join(str(size) for size in field.shape[1:])
        raise ShapeError(f"unit got {unit}, layer '{layer}' has {wanted} units")
    boxes = []
    for low, high in zip(field.reach.low, field.reach.high, strict=True):
        place: tuple[Any, ...] = (..., *unit)
        lows, highs = (np.broadcast_to(part, field.shape)[place] for part in (low, high))
        boxes.append((int(lows.min()), int(highs.max())))
    spans = [
        lattice.span(unit[axis])
        if lattice is not None and len(unit) == len(field.lattices)
        else None
        for axis, lattice in enumerate(field.lattices)
    ]
    known = tuple(span for span in spans if span is not None)
    return UnitBox(
        layer,
        unit,
        tuple(boxes),
        known if len(known) == len(field.lattices) else None,
        not field.guessed,
    )
