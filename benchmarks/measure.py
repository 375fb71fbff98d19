"""Measuring side by side: alternate the candidates in one run, and compare by ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chainrule.record.environment import hardware, versions

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


def apart(module: str, *words: str, packages: Path | None = None, **environment: str) -> str:
    """The last line that a module of the benchmarks prints, run in a process of its own.

    Args:
        module: its name.
        words: its arguments.
        packages: folder of other people's packages that it imports.
        environment: variables that it gets besides.
    """
    path = [str(ROOT), *([str(packages)] if packages else [])]
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not done.stdout:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout.strip().splitlines()[-1]


def numbers_apart(module: str, *words: str, **options: Any) -> dict[str, Any]:
    """The same, where that line is JSON."""
    found: dict[str, Any] = json.loads(apart(module, *words, **options))
    return found


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {"versions": versions(), "hardware": hardware("cpu")}


def keep(name: str, numbers: object) -> None:
    """Write numbers to ``results/NAME.json``, instead of those of the same hardware before."""
    path, record = RESULTS / f"{name}.json", {"machine": machine(), "numbers": numbers}
    RESULTS.mkdir(exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else []
    others = [item for item in before if _hardware(item) != _hardware(record)]
    path.write_text(json.dumps([*others, record], indent=2) + "\n")


def _hardware(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes numbers comparable; memory as the system counts it moves by some pages."""
    return tuple(record["machine"]["hardware"][name] for name in ("cpu", "cores", "accelerator"))


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
