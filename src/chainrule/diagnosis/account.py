"""Account: what a search has tried, in the words of its verdict."""

from __future__ import annotations

import math
from typing import Any

from chainrule.diagnosis.case import CERTAIN, SYMPTOM, Hypothesis
from chainrule.diagnosis.search import Search
from chainrule.diagnosis.verdict import ReplaySeen


def percent(value: float) -> str:
    """A skill in words.

    Examples:
        >>> percent(0.123), percent(float("nan"))
        ('12 %', 'nothing')
    """
    return "nothing" if math.isnan(value) else f"{100 * value:.0f} %"


def ruled_out(
    search: Search, hypotheses: list[Hypothesis], named: set[str]
) -> tuple[tuple[str, str], ...]:
    """(code, what was changed and what came of it) of causes that are not named."""
    base = search.baseline()
    found: dict[str, str] = {}
    for item in hypotheses:
        value = search.skill(frozenset((item.change,)))
        if item.code in named or math.isnan(value):
            continue
        if value <= base + 0.05:
            found.setdefault(item.code, f"{item.change.title}: {percent(value)}, no change for "
                             "the better")  # fmt: skip
        else:
            found[item.code] = f"{item.change.title}: {percent(value)}, not enough"
    return tuple(found.items())


def suspects_of(hypotheses: list[Hypothesis]) -> tuple[tuple[str, str], ...]:
    """(code, how much speaks for it) before anything is changed."""
    found: dict[str, str] = {}
    for item in hypotheses:  # the weightiest first
        if item.weight >= SYMPTOM:
            found.setdefault(item.code, "certain" if item.weight >= CERTAIN else "symptom")
    return tuple(found.items())


def replays_of(search: Search, hypotheses: list[Hypothesis]) -> tuple[ReplaySeen, ...]:
    """All replays, the baseline first, then by what they reached."""
    codes: dict[Any, list[str]] = {}
    for item in hypotheses:
        codes.setdefault(item.change, []).append(item.code)
    found = []
    for (changes, seed), outcome in search.runs.items():
        title = " + ".join(sorted(change.title for change in changes)) or "nothing changed"
        value = search.skill(changes, seed)
        found.append(
            ReplaySeen(
                title, tuple(dict.fromkeys(c for change in changes for c in codes.get(change, []))),
                seed, outcome.steps, None if math.isnan(value) else round(value, 4), outcome.ended,
                tuple((item.step, item.skill) for item in outcome.readings),
                tuple((item.step, item.train) for item in outcome.readings),
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda item: (item.intervention != "nothing changed", item.seed,
                                                 -(item.progress or -9))))  # fmt: skip
