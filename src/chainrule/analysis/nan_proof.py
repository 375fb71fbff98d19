"""NaN proof: receptive fields shown by putting a NaN into the input.

Every unit that the NaN reaches sees the place where it was put. A gradient could underflow in a
gate or lose a tie in max-pooling; a NaN can do neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from chainrule.analysis.field import Field
from chainrule.analysis.graph import Call, Graph, View
from chainrule.analysis.running import Run, first_tensor, tensors_of, watched
from chainrule.analysis.traced import Traced
from chainrule.analysis.walk import Fields
from chainrule.finding import Proof

_EXHAUSTIVE = 40  # an axis up to this length is probed at every position
_SAMPLES = 6


def fields_proof(run: Run, found: Traced) -> Proof:
    """Receptive fields against the units that a NaN reaches, position by position.

    Args:
        run: copies of the network, ready to run.
        found: its graphs.
    """
    fields = Fields(found.evaluation)
    claim, way = "receptive fields", "NaN put into the input"
    if not fields.axes:
        return Proof(claim, way, 0, (), "the input has no spatial axes")
    if not fields.source.dtype.is_floating_point:
        return Proof(claim, way, 0, (), "the input is not of floating point: no NaN can be put in")
    known = _known(fields, found.evaluation)
    twin = run.copy(training=False)
    positional, named = run.inputs(twin)
    source = tensors_of((positional, named))[_place(fields, found.evaluation)]
    seen: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
    counts = watched(twin, lambda path, number, out: _note(seen, path, number, out))
    clean = source.clone()
    compared, different = 0, []
    for place, axis in enumerate(fields.axes):
        for position in _positions(source.shape[axis]):
            source.copy_(clean)
            source.select(axis, position).fill_(float("nan"))
            seen.clear()
            counts.clear()
            with torch.no_grad():
                twin(*positional, **named)
            for key, reached in seen.items():
                if key in known and known[key].shape == reached.shape:
                    compared += 1
                    wrong = _disagreement(known[key], place, position, reached)
                    if wrong is not None:
                        different.append(
                            (
                                f"{key[0] or 'network'} {wrong}",
                                *_told(known[key], place, wrong, position),
                            )
                        )
    note = "" if compared else "no layer of the network keeps the input's places"
    if fields.unknown:
        note = (
            f"upper bounds only, for {', '.join(sorted(fields.unknown))} can be followed no closer"
        )
    return Proof(claim, way, compared, tuple(different[:20]), note)


def _place(fields: Fields, graph: Graph) -> int:
    """Which of the input's tensors the fields are told of."""
    return next(place for place, item in enumerate(graph.inputs) if item is fields.source)


def _positions(extent: int) -> list[int]:
    if extent <= _EXHAUSTIVE:
        return list(range(extent))
    inner = np.random.default_rng(0).integers(1, extent - 1, _SAMPLES - 2)
    return sorted({0, extent - 1, *(int(item) for item in inner)})


def _known(fields: Fields, graph: Graph) -> dict[tuple[str, int], Field]:
    """The field of what each module call gave, at that time."""
    found = {}
    for call in graph.calls:
        if call.outputs:
            field = _field_at(fields, graph, call, call.outputs[0])
            if field is not None:
                found[call.path, call.number] = field
    return found


def _field_at(fields: Fields, graph: Graph, call: Call, view: View) -> Field | None:
    """The field of ``view`` when ``call`` had ended."""
    inside = [item for item in graph.operations[call.first :] if _within(item.call, call)]
    return fields.left_by(inside, view) if inside else None


def _within(call: Call | None, outer: Call) -> bool:
    while call is not None:
        if call is outer:
            return True
        call = call.parent
    return False


def _note(
    seen: dict[tuple[str, int], np.ndarray[Any, Any]], path: str, number: int, output: Any
) -> None:
    tensor = first_tensor(output)
    if tensor is not None and tensor.is_floating_point():
        seen[path, number] = tensor.isnan().numpy()


def _disagreement(
    field: Field, place: int, position: int, reached: np.ndarray[Any, Any]
) -> tuple[int, ...] | None:
    """The first unit for which field and NaN disagree.

    Every unit that the NaN reaches must have the position within its box; every unit whose box
    begins or ends at the position must be reached. An upper bound owes only the first.
    """
    low = np.broadcast_to(field.reach.low[place], reached.shape)
    high = np.broadcast_to(field.reach.high[place], reached.shape)
    wrong = reached & ((low > position) | (high < position))
    if not field.guessed:
        wrong = wrong | (~reached & (low <= high) & ((low == position) | (high == position)))
    if not wrong.any():
        return None
    return tuple(int(index) for index in np.argwhere(wrong)[0])


def _told(
    field: Field, place: int, unit: tuple[int, ...], position: int
) -> tuple[tuple[int, int], str]:
    shape = field.shape
    low = int(np.broadcast_to(field.reach.low[place], shape)[unit])
    high = int(np.broadcast_to(field.reach.high[place], shape)[unit])
    return (
        low,
        high,
    ), f"position {position} {'reaches' if not low <= position <= high else 'misses'}"
