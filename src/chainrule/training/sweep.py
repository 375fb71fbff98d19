"""Sweep: the same training with every combination of some settings, over several seeds."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.answer import Answer
from chainrule.errors import RecipeError, RunError
from chainrule.record.cluster import connected
from chainrule.record.store import RunStore
from chainrule.training.archive import load_result
from chainrule.training.grid import Combination, Grid
from chainrule.training.sweep_worker import EVENT, reached, work

_NUMBERS = ("validation_accuracy", "validation_loss", "test_accuracy", "test_loss", "seconds")
Told = Callable[[int, int], object]


@dataclass(frozen=True)
class SweepRow(Answer):
    """One combination of settings, over its seeds.

    Attributes:
        settings: values of the grid.
        runs: identifiers of its finished runs.
        failures: why runs failed, one line each.
        means: mean over the finished runs of "validation_accuracy", "validation_loss",
            "test_accuracy", "test_loss" and "seconds"; without what the task does not have.
        spreads: standard deviation over the runs (n - 1); without it where there is one run.
    """

    settings: dict[str, Any]
    runs: tuple[str, ...]
    failures: tuple[str, ...]
    means: dict[str, float]
    spreads: dict[str, float]


@dataclass(frozen=True)
class Sweep(Answer):
    """What a sweep found.

    Attributes:
        name: the same for the same grid.
        axes: values by setting.
        seeds: runs of each combination.
        chosen_by: what rows are ordered by, of the validation part: "validation_accuracy", else
            "validation_loss", else (without a validation part) those of the test part.
        rows: one per combination, the best first, failed ones last.
        folder: where the runs are kept.
    """

    name: str
    axes: dict[str, tuple[Any, ...]]
    seeds: int
    chosen_by: str
    rows: tuple[SweepRow, ...]
    folder: str


class SweepStopped(KeyboardInterrupt):
    """The user stopped the sweep; what is done is kept, and the same sweep goes on from there."""


def sweep(
    grid: Grid,
    *,
    runs: str | Path = "runs",
    jobs: int | None = None,
    ray: str | None = None,
    told: Told = lambda done, count: None,
) -> Sweep:
    """Train with every combination of a grid; what an earlier, same sweep finished is not repeated.

    Each run is a process of its own, with an even share of the threads, and is kept as any other.

    Args:
        grid: settings of all, values to combine, number of seeds.
        runs: folder of the run store.
        jobs: runs at a time; None: as many as there are cores.
        ray: address of a Ray cluster ("local" starts one), whose machines see the same folder.
        told: how many runs are done, and of how many.

    Raises:
        RecipeError: a setting or value that cannot be, before anything is run.
        SweepStopped: Ctrl-C; runs under way are saved.
    """
    if jobs is not None and jobs < 1:
        raise RecipeError(f"jobs got {jobs}, wants a whole number from 1")
    combinations = grid.combinations()
    store = RunStore(runs, create=True)
    kept, begun = _kept(store, grid.name)
    waiting = [one for one in combinations if one.number not in kept]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    at_once = max(1, min(jobs or cores or 1, len(waiting) or 1))
    threads = max(1, (cores or 1) // at_once)
    told(len(kept), len(combinations))
    made = [
        _job(one, grid, store, begun.get(one.number), threads if ray is None else 1)
        for one in waiting
    ]
    runner = _in_processes(made, at_once) if ray is None else _on_ray(made, ray)
    for number, answer in runner:
        kept[number] = answer
        told(len(kept), len(combinations))
    if any(answer.get("stopped") for answer in kept.values()):
        raise SweepStopped
    return _summed_up(grid, combinations, kept, store)


def _kept(store: RunStore, name: str) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """What runs of this sweep reached, and those that were begun and can go on, by their number."""
    finished, begun = {}, {}
    for record in store.runs().runs:
        marks = [
            event
            for event in store.events(record.id)
            if event.kind == EVENT and event.message == name
        ]
        if not marks:
            continue
        number = int(marks[-1].details["number"])
        result = load_result(store, record.id) if record.ended == "finished" else None
        if result is not None:
            finished[number] = reached(result)
        elif record.ended in ("stopped", "lost"):
            begun[number] = record.id
    return finished, begun


def _job(
    one: Combination, grid: Grid, store: RunStore, resume: str | None, threads: int
) -> dict[str, Any]:
    return {
        "sweep": grid.name,
        "number": one.number,
        "runs": str(store.folder.resolve()),
        "recipe": one.recipe.plain(),
        "resume": resume,
        "threads": threads,
    }


def _in_processes(
    made: Sequence[dict[str, Any]], at_once: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each job in a process; threads only wait for them."""
    stopping: list[bool] = []
    with ThreadPoolExecutor(at_once) as pool:
        tasks = {pool.submit(_process, job, stopping): job["number"] for job in made}
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        except KeyboardInterrupt:
            stopping.append(True)  # those under way have got the signal too, and save
            raise SweepStopped from None


def _process(job: dict[str, Any], stopping: list[bool]) -> dict[str, Any]:
    if stopping:
        return {"stopped": True}
    command = [sys.executable, "-m", "chainrule.training.sweep_worker"]
    done = subprocess.run(
        command,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": str(job["threads"])},
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return {"error": f"its process ended with {done.returncode}: {last}"}
    return found


def _on_ray(made: Sequence[dict[str, Any]], address: str) -> Iterator[tuple[int, dict[str, Any]]]:
    ray = connected(address)
    remote = ray.remote(num_cpus=1)(work)
    tasks = {remote.remote(job): job["number"] for job in made}
    left = list(tasks)
    try:
        while left:
            done, left = ray.wait(left)
            for task in done:
                try:
                    yield tasks[task], ray.get(task)
                except Exception as error:  # noqa: BLE001 - a task may be lost in any way
                    yield tasks[task], {"error": str(error).splitlines()[0]}
    except KeyboardInterrupt:
        for task in left:
            ray.cancel(task, force=True)
        raise SweepStopped from None


def _summed_up(
    grid: Grid,
    combinations: Sequence[Combination],
    kept: Mapping[int, dict[str, Any]],
    store: RunStore,
) -> Sweep:
    rows = []
    for start in range(0, len(combinations), grid.seeds):
        these = combinations[start : start + grid.seeds]
        rows.append(_row(these[0].settings, [kept[one.number] for one in these]))
    chosen_by = next((name for name in _NUMBERS if any(name in row.means for row in rows)), "")
    if not chosen_by:
        raise RunError(f"no run of the sweep finished; the first failed: {rows[0].failures[0]}")
    sign = -1 if chosen_by.endswith("accuracy") else 1
    rows.sort(key=lambda row: sign * row.means.get(chosen_by, sign * math.inf))
    axes = {name: tuple(values) for name, values in grid.axes.items()}
    return Sweep(grid.name, axes, grid.seeds, chosen_by, tuple(rows), str(store.folder))


def _row(settings: dict[str, Any], answers: Sequence[dict[str, Any]]) -> SweepRow:
    finished = [answer for answer in answers if "error" not in answer]
    values = {
        name: [answer[name] for answer in finished if answer[name] is not None] for name in _NUMBERS
    }
    return SweepRow(
        settings=settings,
        runs=tuple(answer["run"] for answer in finished),
        failures=tuple(answer["error"] for answer in answers if "error" in answer),
        means={name: statistics.fmean(found) for name, found in values.items() if found},
        spreads={name: statistics.stdev(found) for name, found in values.items() if len(found) > 1},
    )
