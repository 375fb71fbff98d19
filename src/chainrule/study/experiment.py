"""Experiment: a claim of the course as something that runs, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from chainrule.answer import Answer
from chainrule.study.measured import Part, Verdict
from chainrule.study.picture import Picture, Table


@dataclass(frozen=True)
class Outcome:
    """What one run of an experiment measured.

    Attributes:
        parts: what the claim says, one by one, each with its measurement.
        pictures: at least one.
        tables: further numbers.
        notes: what surprised, one sentence each.
    """

    parts: tuple[Part, ...]
    pictures: tuple[Picture, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """A claim with the set-up that tests it; one file each in ``study/experiments/``.

    Attributes:
        name: kebab-case, as the file.
        title: a question or a short statement.
        claim: as the course states it, in our words.
        hypothesis: what is expected here, and why.
        set_up: words with the fields of ``setup`` in braces ("{runs} runs of {steps} steps").
        setup: a frozen dataclass with every number that decides the result.
        sabotage: what is broken in ``sabotaged``, in words.
        sabotaged: the same set-up with one thing broken, so that the verdict must turn.
        measure: runs it: the set-up and a seed to what was measured.
        next: what to try next.
        references: papers and pages.
    """

    name: str
    title: str
    claim: str
    hypothesis: str
    set_up: str
    setup: Any
    sabotage: str
    sabotaged: Any
    measure: Callable[[Any, int], Outcome]
    next: tuple[str, ...]
    references: tuple[str, ...]


def set_up_words(experiment: Experiment, setup: Any) -> str:
    """The set-up in words, with its numbers."""
    values = {name: _Listed(value) if isinstance(value, tuple) else value
              for name, value in asdict(setup).items()}  # fmt: skip
    return experiment.set_up.format(**values)


class _Listed(tuple[Any, ...]):
    """Several values, which read as a list between commas."""

    def __format__(self, how: str) -> str:
        return ", ".join(format(value, how) for value in self)


@dataclass(frozen=True)
class StudyResult(Answer):
    """An experiment that has run.

    Attributes:
        name: of the experiment.
        title: its question.
        claim: as the course states it.
        hypothesis: what was expected, and why.
        set_up: what was done, with numbers.
        sabotaged: what was broken on purpose; "" for the experiment itself.
        parts: what the claim says, each with its measurement.
        verdict: what becomes of the claim.
        pictures: what there is to see.
        tables: further numbers.
        notes: what surprised.
        next: what to try next.
        references: papers and pages.
        seed: same seed, same numbers.
        seconds: how long it took.

    Examples:
        >>> import chainrule
        >>> found = chainrule.study("zero-input")
        >>> found.verdict.kind
        'holds'
    """

    name: str
    title: str
    claim: str
    hypothesis: str
    set_up: str
    sabotaged: str
    parts: tuple[Part, ...]
    verdict: Verdict
    pictures: tuple[Picture, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    next: tuple[str, ...]
    references: tuple[str, ...]
    seed: int
    seconds: float


@dataclass(frozen=True)
class StudyList(Answer):
    """The experiments there are.

    Attributes:
        experiments: (name, title, claim).
    """

    experiments: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class StudyResults(Answer):
    """Several experiments that have run, in the order asked for."""

    results: tuple[StudyResult, ...]
