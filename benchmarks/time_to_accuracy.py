"""Time and steps to a fixed test accuracy: chainrule beside a plain loop with the same recipe.

Aims: no more steps than the plain loop, at least 3 times less time (all of it: choosing how to
compute with an empty memory of earlier choices, recording, a look at the test part every epoch).
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks import rivals
from benchmarks.measure import numbers_apart
from benchmarks.speed.reach import GOALS

SEEDS = {"digits": 15, "fashion-mnist": 3}


def measure() -> dict[str, Any]:
    """By data set: steps and seconds of each seed, and the ratios of the medians."""
    found = {}
    for name in GOALS:
        if name != "digits" and not os.environ.get("CHAINRULE_DATA"):
            print(f"{name}: skipped, CHAINRULE_DATA does not name a folder with its files")
            continue
        found[name] = compare(name)
    return found


def compare(name: str) -> dict[str, Any]:
    """One goal, chainrule and the plain loop in turns."""
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "plain": []}
    for seed in range(SEEDS[name]):
        for who, kept in runs.items():
            kept.append(_run(name, who, seed))
            print(f"{name} {GOALS[name].accuracy:.1%}, seed {seed}, {who}: {kept[-1]}", flush=True)
    pairs = [pair for pair in zip(*runs.values(), strict=True) if all(run["steps"] for run in pair)]
    return {"accuracy": GOALS[name].accuracy, "runs": runs, "reached by both": len(pairs)} | {
        what: _spread([number(one) / number(other) for one, other in pairs])
        for what, number in RATIOS.items()
        if len(pairs) > 1
    }


RATIOS: dict[str, Callable[[dict[str, Any]], float]] = {
    "steps of chainrule / of the plain loop": lambda run: run["steps"],
    # chainrule is the first of a pair
    "chainrule takes so many times less": lambda run: 1 / (run["seconds"] + run["importing"]),
    "without the import of PyTorch's compiler": lambda run: 1 / run["seconds"],
}


def _spread(ratios: list[float]) -> dict[str, Any]:
    low, median, high = statistics.quantiles(ratios, n=4)
    return {"median": round(median, 2), "quartiles": [round(low, 2), round(high, 2)]}


def _run(name: str, who: str, seed: int) -> dict[str, Any]:
    packages = rivals.folder("torchvision")
    words = ("benchmarks.speed.reach", name, who, str(seed))
    with tempfile.TemporaryDirectory() as cache:
        return numbers_apart(*words, packages=packages, CHAINRULE_CACHE=cache)
