"""Weighing: which gains in skill count, and which changes can act together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.diagnosis.case import CERTAIN, LOWEST, SYMPTOM, TRIED, Hypothesis
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.changes.updating import ReplaceRule, ScaleRate

NEAR = 0.06  # skills this near are alike
GOOD = 0.8  # above this little is left to be gained
# what a change has to bring before its absence is a fault, by the weight of what speaks for it:
# (gain in skill, skill without it as a share of that with it)
NEEDED = {CERTAIN: (0.03, 1.0), SYMPTOM: (0.12, 0.85), TRIED: (0.25, 0.6)}
Changes = frozenset[Change]
NOTHING: Changes = frozenset()


def alone(item: Hypothesis) -> Changes:
    """The change of a hypothesis by itself."""
    return frozenset((item.change,))


def counts(weight: int, without: float, with_it: float, further: bool = False) -> bool:
    """Whether the gain is large enough for a fault of this weight.

    Args:
        weight: of what speaks for it.
        without, with_it: skills.
        further: whether another fault has been found: then the run is not a healthy one, and to
            leave a quarter of what was missing counts, too.

    Examples:
        >>> counts(CERTAIN, 0.80, 0.85), counts(TRIED, 0.80, 0.85), counts(TRIED, 0.2, 0.9)
        (True, False, True)
        >>> counts(SYMPTOM, 0.86, 0.99), counts(SYMPTOM, 0.86, 0.99, further=True)
        (False, True)
    """
    if math.isnan(without) or math.isnan(with_it):
        return False
    gain, share = NEEDED[weight]
    if with_it < LOWEST:
        return False  # less bad than before is no learning
    mended = further and weight >= SYMPTOM and 1 - with_it <= 0.25 * (1 - without)
    return with_it - without >= gain and (max(without, 0.0) <= share * with_it or mended)


def compatible(changes: Sequence[Change]) -> Changes:
    """Changes that can act together: of two of one kind the last.

    Examples:
        >>> sorted(item.title for item in compatible([ScaleRate(10.0), ReplaceRule()]))
        ['Adam with a learning rate of 0.001']
    """
    chosen: dict[Any, Change] = {}
    for change in changes:
        chosen[type(change)] = change
    if ReplaceRule in chosen:
        chosen.pop(ScaleRate, None)
    return frozenset(chosen.values())


def known(value: float, other: float) -> float:
    """A value, or another where there is none.

    Examples:
        >>> known(float("nan"), 1.0)
        1.0
    """
    return other if math.isnan(value) else value
