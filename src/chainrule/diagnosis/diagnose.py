"""Diagnose: why does it not learn, with proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.diagnosis.examination import Examination, Tell
from chainrule.diagnosis.replaying.crew import check_jobs
from chainrule.diagnosis.script import find_script
from chainrule.diagnosis.verdict import (
    Diagnosis,
)
from chainrule.errors import RecipeError, RunError
from chainrule.record.store import RunStore


def diagnose(
    script: str | Path | None = None,
    arguments: Sequence[str] = (),
    *,
    module: bool = False,
    network: nn.Module | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    batches: Iterable[tuple[Any, Any]] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    epochs: int = 20,
    seconds: float = 120.0,
    steps: int | None = None,
    jobs: int | None = None,
    seeds: int = 3,
    ray: str | None = None,
    tell: Tell = lambda _line: None,
) -> Diagnosis:
    """Find out why a training script does not learn, and prove it by replays.

    The script runs to its first training step and pauses; every replay is forked from there with
    one thing changed. Nothing of the user's is written to. In place of a script the parts of a
    training step can be given; they are used in copies of this process and stay as they are.

    Args:
        script: path of a Python file, or with ``module`` the name of a module.
        arguments: of the script.
        module: whether ``script`` names a module.
        network: in place of a script, with the next three.
        loss: (scores, targets) -> loss.
        batches: of (inputs, targets); they are gone through again and again.
        optimizer: of the network's parameters.
        epochs: passes over ``batches``.
        seconds: that the diagnosis may take, about.
        steps: updates of a replay; by default as many as the time allows.
        jobs: processes at the same time; by default one for each core.
        seeds: seeds or data orders that a proof needs.
        ray: address of a Ray cluster that runs the replays; "local" starts one here.
        tell: is told what goes on, in one line.

    Raises:
        ScriptError: there is no such script.
        RecipeError: an option that cannot be used.

    Examples:
        >>> net = torch.nn.Linear(4, 2)
        >>> x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        >>> batches = [(x, (x[:, 0] > 0).long())] * 8
        >>> rule = torch.optim.SGD(net.parameters(), lr=1e-6)
        >>> cross_entropy = torch.nn.functional.cross_entropy
        >>> answer = diagnose(
        ...     network=net, loss=cross_entropy, batches=batches, optimizer=rule, seconds=40)
        >>> [cause.code for cause in answer.causes]
        ['learning-rate-too-low']
    """
    check_options(seconds, steps, seeds)
    if script is None:
        program = _program(network, loss, batches, optimizer, epochs)
        return Examination(
            None, None, seconds, steps, check_jobs(jobs), seeds, tell, "the training step", program
        ).run()
    if any(part is not None for part in (network, loss, batches, optimizer)):
        raise RecipeError("diagnose got a script and parts of a training step, wants one of them")
    found = find_script(str(script), arguments, module=module)
    return Examination(found, None, seconds, steps, check_jobs(jobs), seeds, tell, ray=ray).run()


def _program(
    network: nn.Module | None, loss: Callable[[Any, Any], Tensor] | None,
    batches: Iterable[tuple[Any, Any]] | None, optimizer: torch.optim.Optimizer | None,
    epochs: int,
) -> Callable[[], None]:  # fmt: skip
    """The textbook loop over the parts."""
    if network is None or loss is None or batches is None or optimizer is None:
        raise RecipeError("diagnose wants a script, or all of network, loss, batches and optimizer")
    if iter(batches) is batches:
        raise RecipeError(
            "batches got an iterator, which is used up after one pass: give a list or a DataLoader"
        )

    def train() -> None:
        for _ in range(epochs):
            for inputs, targets in batches:
                optimizer.zero_grad()
                value: Tensor = loss(network(inputs), targets)
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

    return train


def diagnose_run(
    run: str,
    *,
    runs: str | Path = "runs",
    seconds: float = 120.0,
    steps: int | None = None,
    jobs: int | None = None,
    seeds: int = 3,
    ray: str | None = None,
    tell: Tell = lambda _line: None,
) -> Diagnosis:
    """Find out why one of our own recorded runs does not learn, by training it again.

    Args:
        run: its identifier, or "last".
        runs: folder of the run store.
        seconds, steps, jobs, seeds, ray, tell: as for ``diagnose``.

    Raises:
        RunError: there is no such run, or it was only watched.
    """
    check_options(seconds, steps, seeds)
    record = RunStore(runs).run(run)
    if "watched" in record.recipe:
        raise RunError(
            f"run '{record.id}' was watched, not trained by chainrule: diagnose its script "
            f"({record.recipe['watched']})"
        )
    name = f"run {record.id}"
    return Examination(
        None, dict(record.recipe), seconds, steps, check_jobs(jobs), seeds, tell, name, ray=ray
    ).run()


def check_options(seconds: float, steps: int | None, seeds: int) -> None:
    """Refuse numbers that cannot be used.

    Raises:
        RecipeError: one of them is out of its range.
    """
    if not isinstance(seconds, int | float) or not seconds >= 5:
        raise RecipeError(f"seconds got {seconds!r}, wants a number, at least 5: 120 is customary")
    if steps is not None and (not isinstance(steps, int) or steps < 10):
        raise RecipeError(f"steps got {steps!r}, wants a whole number, at least 10")
    if not isinstance(seeds, int) or not 2 <= seeds <= 20:
        raise RecipeError(f"seeds got {seeds!r}, wants a whole number from 2 to 20: 3 is customary")
