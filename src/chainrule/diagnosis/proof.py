"""Proof: a set of changes held against the run without it, and the controls beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.diagnosis.case import Hypothesis
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.changes.control import ShuffleLabels
from chainrule.diagnosis.replaying.messages import Outcome
from chainrule.diagnosis.search import Search
from chainrule.diagnosis.weighing import NOTHING, Changes

_COUNTS = 0.1  # of skill


@dataclass(frozen=True)
class Proof:
    """What cures make of the run, over several seeds or data orders.

    Attributes:
        cures: the set of changes.
        chosen: for each change the hypothesis that it speaks for.
        before, after: skills without the cures and with them, seed by seed; NaN where not run.
        holds: whether the rule of evidence holds.
        held: whether skills are those on what the script evaluates on.
    """

    cures: Changes
    chosen: tuple[Hypothesis, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    holds: bool
    held: bool

    @property
    def evidence(self) -> dict[str, Any]:
        """The numbers."""
        return {"baseline": _rounded(self.before), "changed": _rounded(self.after)}

    @property
    def is_split(self) -> bool:
        """Whether in a seed that was tried the cures make no difference that counts.

        Not where the run without them happens to learn as well as it ever does with them.
        """
        pairs = [
            (one, two) for one, two in zip(self.before, self.after, strict=True)
            if not math.isnan(one) and not math.isnan(two)
        ]  # fmt: skip
        best = max((two for _, two in pairs), default=0.0)
        return any(two - one < _COUNTS and two < best - _COUNTS for one, two in pairs)


def proof_of(
    search: Search, cures: Changes, chosen: Sequence[Hypothesis], seeds: Sequence[int],
    without: Changes = NOTHING,
) -> Proof:  # fmt: skip
    """From replays that were run."""
    before = tuple(search.skill(without, seed) for seed in seeds)
    after = tuple(search.skill(cures, seed) for seed in seeds)
    holds = search.holds(cures, seeds, without)
    return Proof(cures, tuple(chosen), before, after, holds, search.held)


def checked_controls(search: Search, cures: Changes, unseen: list[str]) -> list[tuple[str, bool]]:
    """Labels shuffled on purpose must not be learned; nothing changed must change nothing.

    Args:
        search: runs the controls.
        cures: with which shuffled labels are tried.
        unseen: is told what could not be checked.
    """
    if search.left < 4:
        unseen.append("the controls: there was no time left")
        return []
    empty = frozenset((Change(),))
    shuffled = frozenset((*cures, ShuffleLabels()))
    task = search.crew.companies[search.crew.stage()].scouted.task
    possible = bool(task) and not any(change.at_setup for change in cures)
    search.run([empty, shuffled] if possible else [empty])
    controls = []
    same = _same(search.runs.get((empty, 0)), search.runs.get((NOTHING, 0)))
    if same is not None:
        controls.append(("an empty intervention changes nothing", same))
    value = search.skill(shuffled)
    if math.isnan(value):
        unseen.append("whether shuffled labels are learned: they cannot be shuffled here")
    else:
        base = max(search.baseline(), 0.0)
        held = value < base + 0.5 * (search.skill(cures) - base)
        controls.append(("shuffled labels are not learned", held))
    return controls


def _same(one: Outcome | None, two: Outcome | None) -> bool | None:
    """Whether two runs had the same readings, as far as both go."""
    if one is None or two is None:
        return None
    second = {item.step: item for item in two.readings}
    pairs = [(item, second[item.step]) for item in one.readings if item.step in second]
    if not pairs:
        return None
    return all(a.loss == b.loss or (a.loss != a.loss and b.loss != b.loss) for a, b in pairs)


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 3) for value in values]
