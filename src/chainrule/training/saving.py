"""Saving: what a loop writes of itself to disk, and goes on from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import nn
from torch.optim.swa_utils import AveragedModel

from chainrule.training.averaging import go_on
from chainrule.training.checkpoint import (
    Checkpoint,
    load_average,
    load_updates,
    load_weights,
    prune_checkpoints,
    save_checkpoint,
)
from chainrule.training.distributed import World
from chainrule.training.progress import Progress
from chainrule.training.sharding import is_sharded
from chainrule.training.step import Step


class Saving:
    """Checkpoints of one run: of every so many steps, and the best so far.

    Args:
        folder: where they lie.
        module: that is trained.
        step: makes its updates.
        average: of its weights, where there is one.
        here: this process; the first writes, and of a sharded module all give their part.
    """

    def __init__(
        self,
        folder: Path,
        module: nn.Module,
        step: Step,
        average: AveragedModel | None,
        here: World,
    ) -> None:
        self.folder, self.module, self.step = folder, module, step
        self.average, self.here = average, here

    def go_on(self, checkpoint: Checkpoint) -> Progress:
        """Take weights and the state of the update rule from a checkpoint; gives how far it was."""
        load_weights(checkpoint.path, self.module)
        load_updates(checkpoint.path, self.step.optimizer)
        progress = Progress(**checkpoint.state)
        self.step.scaler.load_state_dict(progress.scaler)
        if self.average is not None:
            load_average(checkpoint.path, self.average.module)
            go_on(self.average, progress.step)
        return progress

    def save(self, progress: Progress) -> None:
        """Write where the run is, and remove what nobody will go on from."""
        self._write(f"step-{progress.step:09d}", progress)
        if self.here.main:
            prune_checkpoints(self.folder, progress.best)

    def save_best(self, progress: Progress) -> None:
        """Write the weights that are the best so far."""
        # a name of its own: the one before is removed only when a step checkpoint knows this
        progress.best = f"best-{progress.step:09d}"
        self._write(progress.best, progress)

    def take_the_weights_to_keep(self, progress: Progress) -> None:
        """The best, where they were looked for, else the average, else those that are there."""
        best = self.here.agreed(progress.best)  # and the first process has written it
        if best is not None and self.average is None:
            load_weights(self.folder / best, self.module)
        elif best is not None:
            load_average(self.folder / best, self.module)
        elif self.average is not None:
            self.module.load_state_dict(self.average.module.state_dict())

    def _write(self, name: str, progress: Progress) -> None:
        if not self.here.main and not is_sharded(self.module):
            return
        progress.scaler = self.step.scaler.state_dict()
        save_checkpoint(
            self.folder,
            name,
            progress.step,
            self.module,
            self.step.optimizer,
            asdict(progress),
            average=None if self.average is None else self.average.module,
            write=self.here.main,
        )
