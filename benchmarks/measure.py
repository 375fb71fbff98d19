"""Measuring side by side: alternate the candidates in one run, and compare by ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from chainrule.record.environment import hardware, versions


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {"versions": versions(), "hardware": hardware("cpu")}


def alternate(
    candidates: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Seconds of each candidate, taken in turns so that a slow moment hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, candidate in candidates.items():
            begun = time.perf_counter()
            candidate()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, base: str) -> dict[str, float]:
    """How many times as long ``name`` takes as ``base``: median and quartiles of the pairs."""
    pairs = [one / other for one, other in zip(seconds[name], seconds[base], strict=True)]
    low, median, high = statistics.quantiles(pairs, n=4)
    return {"median": round(median, 3), "quartiles": [round(low, 3), round(high, 3)]}
