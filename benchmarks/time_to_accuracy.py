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
    return {"accuracy": GOALS[name].accuracy, "runs": runs} | ratios(runs)


# of the plain loop by chainrule, but for the steps
COUNTED: dict[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    "steps of chainrule / of the plain loop": ("ours", lambda run: run["steps"]),
    "chainrule takes so many times less": (
        "plain",
        lambda run: run["seconds"] + run["importing"],
    ),
    "without the import of PyTorch's compiler": ("plain", lambda run: run["seconds"]),
}


def ratios(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Ratios of the means over all seeds that both reached it with, and of the single seeds.

    Weights and order are drawn in other ways by the two, so that how many steps it takes differs
    with the same seed: where it varies much, only the ratio of the means says something.
    """
    pairs = [pair for pair in zip(*runs.values(), strict=True) if all(run["steps"] for run in pair)]
    found: dict[str, Any] = {"reached by both": len(pairs)}
    for what, (above, number) in COUNTED.items() if len(pairs) > 1 else ():
        numbers = [[number(run) for run in kept] for kept in zip(*pairs, strict=True)]
        upper, lower = numbers if above == "ours" else reversed(numbers)
        single = [one / other for one, other in zip(upper, lower, strict=True)]
        quartiles = statistics.quantiles(single, n=4)
        found[what] = {
            "means": round(statistics.mean(upper) / statistics.mean(lower), 2),
            "seeds: quartiles and median": [round(value, 2) for value in quartiles],
        }
    return found


def _run(name: str, who: str, seed: int) -> dict[str, Any]:
    packages = rivals.folder("torchvision")
    words = ("benchmarks.speed.reach", name, who, str(seed))
    with tempfile.TemporaryDirectory() as cache:
        return numbers_apart(*words, packages=packages, CHAINRULE_CACHE=cache)
