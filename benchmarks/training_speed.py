"""Images per second of full training steps: chainrule beside other people's loops.

All train the same network with the same minibatch size, update rule, crop and flip, on all cores,
each in a process of its own with its own pinned packages on the same torch, in turns. Aims: at
least 5 times all of them on LeNet, 2 times on the larger two, and 0.9 of the bare step: one fixed
minibatch in the same execution, nothing made, nothing recorded.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks import rivals
from benchmarks.measure import apart, numbers_apart
from benchmarks.speed.case import CASES

REPEATS, OURS = 5, "chainrule"
HANDED_BACK = "chainrule, memory handed back"
# glibc's own default, given by the user: chainrule then leaves the allocator alone
TUNED = {HANDED_BACK: {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=7"}}
CANDIDATES: dict[str, tuple[str, tuple[str, ...], str]] = {
    OURS: ("ours", ("whole",), ""),
    HANDED_BACK: ("ours", ("whole",), ""),
    "chainrule, watched": ("ours", ("watched",), ""),
    "bare step": ("ours", ("bare",), ""),
    "plain loop, 0 workers": ("plain", ("0", "pictures"), "torchvision"),
    "plain loop, 2 workers": ("plain", ("2", "pictures"), "torchvision"),
    "plain loop on tensors": ("plain", ("0", "tensors"), "torchvision"),
    "Lightning, 0 workers": ("lightning_loop", ("0",), "lightning"),
    "Lightning, 2 workers": ("lightning_loop", ("2",), "lightning"),
    "skorch": ("skorch_loop", (), "skorch"),
    "Keras": ("keras_loop", (), "keras"),
}


def measure() -> dict[str, Any]:
    """By network: what chainrule chose, images/s of each candidate, ratios of chainrule to it."""
    return {name: compare(name) for name in CASES}


def compare(case: str) -> dict[str, Any]:
    """One network, all candidates in turns."""
    chosen = apart("benchmarks.speed.ours", case, "chosen")
    print(f"{case}: {chosen}", flush=True)
    speeds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(REPEATS):
        for name in CANDIDATES:
            speeds[name].append(_speed(case, name))
            print(f"  {name:30s} {speeds[name][-1]:10,.0f} images/s", flush=True)
    return {
        "execution": chosen,
        "images/s": {name: round(statistics.median(found)) for name, found in speeds.items()},
        "chainrule is so many times as fast as": {
            name: _ratio(speeds[OURS], found) for name, found in speeds.items() if name != OURS
        },
    }


def _speed(case: str, name: str) -> float:
    module, arguments, rival = CANDIDATES[name]
    packages = rivals.folder(rival) if rival else None
    words, variables = (f"benchmarks.speed.{module}", case, *arguments), TUNED.get(name, {})
    found = numbers_apart(*words, packages=packages, **variables)
    speed: float = found["images/s"]
    return speed


def _ratio(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    pairs = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, median, high = statistics.quantiles(pairs, n=4)
    return {"median": round(median, 2), "quartiles": [round(low, 2), round(high, 2)]}
