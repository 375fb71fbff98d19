"""Run records: what the store knows of runs, one, many, and side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.answer import Answer

ENDINGS = ("running", "finished", "stopped", "failed", "lost")


@dataclass(frozen=True)
class Event(Answer):
    """Something that happened in a run.

    Attributes:
        step: number of updates made when it happened.
        time: when, ISO 8601 in UTC.
        kind: short kebab-case word ("resumed").
        message: one line for people.
        details: the numbers behind it.
    """

    step: int
    time: str
    kind: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord(Answer):
    """One kept run.

    Attributes:
        id: its identifier, also the name of its folder.
        name: what it was created under (the data set's name).
        created: when, ISO 8601 in UTC.
        ended: "running", "finished", "stopped", "failed" or "lost" (its process is gone).
        reason: why it ended early, in one line.
        recipe: the recipe as plain values.
        network: the network's text or name.
        data: name, task, source, fingerprint and sizes of the data set.
        parameters: number of parameters.
        versions: of Python and packages.
        hardware: processor, cores, threads, memory (bytes), accelerator.
        steps: the last step that was reported.
        seconds: training time (s); 0 until it ended.
        summary: final numbers; empty until it ended.
        folder: its folder.
    """

    id: str
    name: str
    created: str
    ended: str
    reason: str
    recipe: dict[str, Any]
    network: str
    data: dict[str, Any]
    parameters: int
    versions: dict[str, Any]
    hardware: dict[str, Any]
    steps: int
    seconds: float
    summary: dict[str, Any]
    folder: str


@dataclass(frozen=True)
class RunList(Answer):
    """All runs of a store, the oldest first."""

    runs: tuple[RunRecord, ...]
    folder: str


@dataclass(frozen=True)
class RunComparison(Answer):
    """Several runs side by side.

    Attributes:
        runs: their identifiers.
        recipe: the keys in which they differ, with a value for each run (None where a run has
            no such key).
        numbers: final numbers by name, with a value for each run (None where unknown).
    """

    runs: tuple[str, ...]
    recipe: dict[str, tuple[Any, ...]]
    numbers: dict[str, tuple[Any, ...]]


def compare(records: Sequence[RunRecord]) -> RunComparison:
    """What differs between runs, and what each reached."""
    keys = dict.fromkeys(key for record in records for key in record.recipe)
    rows = {key: tuple(record.recipe.get(key) for record in records) for key in keys}
    differing = {key: row for key, row in rows.items() if any(item != row[0] for item in row)}
    names = dict.fromkeys(
        name
        for record in records
        for name, value in record.summary.items()
        if isinstance(value, int | float)
    )
    numbers = {name: tuple(record.summary.get(name) for record in records) for name in names}
    return RunComparison(tuple(record.id for record in records), differing, numbers)
