"""Time and steps to a fixed test accuracy: chainrule beside a plain loop with the same recipe.

Aims: no more steps than the plain loop, at least 3 times less time (all of it: choosing how to
compute with an empty memory of earlier choices, recording, a look at the test part every epoch).
"""

from __future__ import annotations

import os
import statistics
import tempfile
from typing import Any

from benchmarks import rivals
from benchmarks.measure import numbers_apart
from benchmarks.speed.reach import GOALS

SEEDS = {"digits": 5, "fashion-mnist": 2}


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
    reached = {who: [run for run in kept if run["steps"]] for who, kept in runs.items()}
    numbers: dict[str, Any] = {"accuracy": GOALS[name].accuracy, "runs": runs}
    if all(reached.values()):
        steps, seconds = (
            {who: statistics.median(run[key] for run in kept) for who, kept in reached.items()}
            for key in ("steps", "seconds")
        )
        numbers["steps of chainrule / of the plain loop"] = round(steps["ours"] / steps["plain"], 2)
        numbers["chainrule takes so many times less"] = round(seconds["plain"] / seconds["ours"], 2)
    return numbers


def _run(name: str, who: str, seed: int) -> dict[str, Any]:
    packages = rivals.folder("torchvision")
    words = ("benchmarks.speed.reach", name, who, str(seed))
    with tempfile.TemporaryDirectory() as cache:
        return numbers_apart(*words, packages=packages, CHAINRULE_CACHE=cache)
