"""Run: an experiment from its set-up to its verdict; nothing outside is touched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from chainrule.analysis.tracer import same_random_state
from chainrule.errors import StudyError
from chainrule.study.experiment import Experiment, StudyList, StudyResult, set_up_words
from chainrule.study.experiments import NAMES, experiment
from chainrule.study.measured import verdict


def study(name: str | None = None, *, seed: int = 0, sabotaged: bool = False) -> Any:
    """Run an experiment of the course, or list them.

    Args:
        name: of the experiment; None lists them.
        seed: fixes everything random.
        sabotaged: break its set-up on purpose: the verdict must turn, or the experiment could
            not have failed.

    Raises:
        StudyError: no such experiment, or a seed that is none.

    Examples:
        >>> study("zero-input").verdict.kind
        'holds'
        >>> study("zero-input", sabotaged=True).verdict.kind
        'does not hold'
    """
    if name is None:
        return listed()
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise StudyError(f"seed got {seed!r}, wants a whole number from 0 to 2^31 - 1")
    with same_random_state():  # what an import draws is not the program's either
        found = experiment(name)
    return run(found, seed=seed, sabotaged=sabotaged)


def listed() -> StudyList:
    """The experiments there are."""
    found = (experiment(name) for name in NAMES)
    return StudyList(tuple((item.name, item.title, item.claim) for item in found))


def run(found: Experiment, *, seed: int = 0, sabotaged: bool = False) -> StudyResult:
    """One experiment, in one thread and with the random state put back afterwards."""
    setup = found.sabotaged if sabotaged else found.setup
    start = time.perf_counter()
    with same_random_state(), one_thread():
        torch.manual_seed(seed)
        outcome = found.measure(setup, seed)
    return StudyResult(
        name=found.name,
        title=found.title,
        claim=found.claim,
        hypothesis=found.hypothesis,
        set_up=set_up_words(found, setup),
        sabotaged=found.sabotage if sabotaged else "",
        parts=outcome.parts,
        verdict=verdict(outcome.parts),
        pictures=outcome.pictures,
        tables=outcome.tables,
        notes=outcome.notes,
        next=found.next,
        references=found.references,
        seed=seed,
        seconds=time.perf_counter() - start,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """The nets are too small for more, and sums come out the same on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
