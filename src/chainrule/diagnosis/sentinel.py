"""Sentinel: notices a gradient that is not finite, and has its origin found."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from chainrule.diagnosis.models import Cast, Model
from chainrule.diagnosis.origin import Origin, any_bad
from chainrule.diagnosis.saved_graph import origin_in_graph
from chainrule.diagnosis.second_run import find_origin
from chainrule.diagnosis.turn import Turn


class Sentinel:
    """A small gradient near the input: what breaks on the way back arrives there."""

    def __init__(self) -> None:
        self._parameter: weakref.ref[Tensor] | None = None

    def forget(self) -> None:
        """Another network trains."""
        self._parameter = None

    def choose(self, parameters: Sequence[Tensor]) -> None:
        """Of an optimizer's parameters the smallest of the first layer, if none is chosen yet."""
        if self._parameter is None or self._parameter() is None:
            first = sorted(parameters[:2], key=lambda item: item.numel())
            found = next((item for item in first if item.grad is not None), None)
            self._parameter = None if found is None else weakref.ref(found)

    def is_bad(self) -> bool:
        """Whether its gradient is not finite; on other devices than the CPU it is not read."""
        parameter = None if self._parameter is None else self._parameter()
        if parameter is None or parameter.grad is None or parameter.device.type != "cpu":
            return False
        return not math.isfinite(parameter.grad.sum().item()) and any_bad([parameter.grad])


def origin_of(
    step: int, turn: Turn | None, total: Tensor | None, bare: Tensor | None, cast: Cast
) -> Origin:
    """Run what was heard once more; for a bare step the minibatch heard last, then its graph.

    Args:
        step: in which it happened.
        turn: what is run again: of this step, or of the one heard last.
        total: the number of ``turn`` that ``backward`` was called on; None: the end of its trail.
        bare: that number of a bare step, whose graph can still be read.
        cast: knows the lines that functions were called from.
    """
    found = turn.passes[-1] if turn is not None and turn.passes else None
    if turn is None or (found is None and not turn.trail):
        return Origin(step, "unknown", "", note="no forward pass was heard")
    if total is None and turn.trail:
        total = turn.trail[-1].output
    module = found.model.module() if found is not None else None
    origin = find_origin(
        step, module, () if found is None else tuple(found.args),
        {} if found is None else found.kwargs, None if found is None else found.output,
        [item for item in turn.trail if not isinstance(item.function, Model)], total,
    )  # fmt: skip
    if origin.stage == "unknown" and bare is not None:
        places = cast.lines | {item.name: item.place for item in turn.trail}
        return origin_in_graph(step, bare, places)
    if turn.step == step or origin.stage in ("weights", "unknown"):
        return origin
    return replace(origin, note=f"shown with the minibatch of step {turn.step}")
