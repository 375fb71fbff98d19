"""One run of a sweep, in a process of its own: a job as JSON comes in, what it reached goes out."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from chainrule.errors import ChainruleError
from chainrule.record.store import RunStore
from chainrule.training.interrupt import TrainingStopped
from chainrule.training.observer import Observer, Start
from chainrule.training.result import TrainingResult
from chainrule.training.train import train

EVENT = "sweep"


class _Marks(Observer):
    """Writes down in the run which place of which sweep it has."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job

    def started(self, start: Start) -> None:
        if not start.step:
            store, number = RunStore(self.job["runs"]), {"number": self.job["number"]}
            store.note(start.run, 0, EVENT, self.job["sweep"], number)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Train as the job says; what went wrong is an answer too.

    Args:
        job: "sweep", "number", "runs", "recipe" (plain), "resume" (a run or None), "threads".
    """
    torch.set_num_threads(job["threads"])
    what = {"resume": job["resume"]} if job["resume"] else job["recipe"]
    try:
        return reached(train(runs=job["runs"], observer=_Marks(job), **what))
    except TrainingStopped:
        return {"stopped": True}
    except ChainruleError as error:
        return {"error": str(error).splitlines()[0]}


def reached(result: TrainingResult) -> dict[str, Any]:
    """What a run is compared by."""
    losses = dict(result.curves.get("validation/loss", ()))
    chosen = None
    if losses:  # of the weights that are kept: the best ones with early stopping, else the last
        kept = min if result.recipe["early_stopping"] else max
        by = losses.__getitem__ if result.recipe["early_stopping"] else int
        chosen = kept(losses, key=by)
    accuracies = dict(result.curves.get("validation/accuracy", ()))
    return {
        "run": result.run,
        "validation_loss": losses.get(chosen) if chosen is not None else None,
        "validation_accuracy": accuracies.get(chosen) if chosen is not None else None,
        "test_loss": result.test_loss,
        "test_accuracy": result.test_accuracy,
        "seconds": result.seconds,
    }


def main() -> None:
    """Read a job from standard input, write what it reached to standard output."""
    print(json.dumps(work(json.load(sys.stdin))), flush=True)


if __name__ == "__main__":
    main()
