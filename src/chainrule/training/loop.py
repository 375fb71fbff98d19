"""Loop: minibatch, scores, full loss, gradients, clipping, update; recorded and saved."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.errors import TrainingError
from chainrule.record.store import RunStore
from chainrule.training.averaging import moving_average
from chainrule.training.checkpoint import Checkpoint
from chainrule.training.data.dataset import Dataset
from chainrule.training.distributed import World
from chainrule.training.evaluation import evaluate
from chainrule.training.execution import execution_of
from chainrule.training.interrupt import Interrupt
from chainrule.training.minibatches import Minibatch, Minibatches, steps_per_epoch
from chainrule.training.observer import EpochReport, Observer
from chainrule.training.phases import Phases
from chainrule.training.progress import Progress
from chainrule.training.recipe import Recipe
from chainrule.training.saving import Saving
from chainrule.training.schedule import Schedule
from chainrule.training.sharding import is_sharded
from chainrule.training.shortage import enough_memory
from chainrule.training.step import Done, Step
from chainrule.training.update_rules import learning_rate

_SECONDS_BETWEEN_REPORTS = 1.0
_SECONDS_BETWEEN_CHECKPOINTS = 60.0
_WAITING = 50  # updates of an accelerator that are not looked at yet


def schedule_of(recipe: Recipe, per_epoch: int) -> Schedule:
    """The recipe's schedule, with its epochs turned into steps."""
    every = recipe.step_epochs or max(1, recipe.epochs // 3)
    return Schedule(
        recipe.schedule,
        steps=recipe.epochs * per_epoch,
        warmup=round(recipe.warmup_epochs * per_epoch),
        step_every=every * per_epoch,
        step_factor=recipe.step_factor or 0.1,
    )


@dataclass(frozen=True)
class _Update:
    """An update that was made and not yet looked at."""

    step: int
    rate: float
    count: int
    done: Done
    norm: Tensor | None


class Loop:
    """Trains a module by a recipe, reporting to a store and saving checkpoints.

    Args:
        module: on its device, initialized.
        dataset: on the same device.
        recipe: with its loss resolved.
        store: where metrics and events go.
        run: identifier of a run that the caller has created and holds.
        observer: who looks on.
        phases: told where the time goes.
        here: this process among those that train together; the first keeps the record.
    """

    def __init__(
        self,
        module: nn.Module,
        dataset: Dataset,
        recipe: Recipe,
        store: RunStore,
        run: str,
        observer: Observer,
        phases: Phases | None = None,
        here: World | None = None,
    ) -> None:
        execution = execution_of(recipe)
        execution.place(module)
        self.phases, self.here = phases or Phases(), here or World()
        self.module, self.dataset, self.recipe = module, dataset, recipe
        self.store, self.run, self.observer = store, run, observer
        self.progress = Progress()
        self.step = Step(module, recipe, dataset.task, execution, self.phases, self.here)
        self.minibatches = Minibatches(dataset, recipe, execution, self.here)
        self.per_epoch = steps_per_epoch(len(dataset.train), recipe.batch_size)
        self.schedule = schedule_of(recipe, self.per_epoch)
        decay = recipe.average_weights
        self.average = None if decay is None else moving_average(module, decay)
        checkpoints = store.path(run) / "checkpoints"
        self.saving = Saving(checkpoints, module, self.step, self.average, self.here)
        self._most_waiting = 0 if self.step.device.type == "cpu" else _WAITING
        self._waiting: list[_Update] = []
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._reported = self._saved = time.monotonic()

    @property
    def judged(self) -> nn.Module:
        """The module that is evaluated: the average of the weights, where there is one."""
        module: nn.Module = self.module if self.average is None else self.average.module
        return module

    @property
    def steps(self) -> int:
        """Number of updates of the whole run."""
        return self.recipe.epochs * self.per_epoch

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.progress = self.saving.go_on(checkpoint)

    def fit(self, interrupt: Interrupt) -> bool:
        """Train to the end of the recipe; False when interrupted (saved, resumable).

        Raises:
            TrainingError: the loss is no longer finite.
            CheckpointError, RunError: the disk is full or cannot be written.
        """
        self.module.train()
        progress = self.progress
        while progress.epoch < self.recipe.epochs and not self._patience_is_over():
            for minibatch in self._minibatches():
                self._timed_step(minibatch)
                if progress.minibatch == self.per_epoch:
                    with self.phases.paused():
                        self._end_epoch()
                stopped = self._is_stopped(interrupt)
                with self.phases.phase("recording"):
                    self._keep(final=stopped)
                self.phases.stepped()
                if stopped:
                    return False
        self._save()
        if self._patience_is_over():
            message = f"no better validation loss for {progress.waited} epochs"
            if self.here.main:
                self.store.note(self.run, progress.step, "early-stopping", message)
        self.saving.take_the_weights_to_keep(progress)
        return True

    def _is_stopped(self, interrupt: Interrupt) -> bool:
        """Whether somebody pressed Ctrl-C; several processes have to agree on the step."""
        if self.here.size == 1:
            return bool(interrupt.signal_number)
        if self.progress.step % max(1, self._most_waiting):
            return False
        signals = torch.tensor(float(interrupt.signal_number), device=self.step.device)
        return bool(self.here.sum(signals))

    def _patience_is_over(self) -> bool:
        patience = self.recipe.early_stopping
        return bool(patience) and self.progress.waited >= patience

    def _minibatches(self) -> Iterator[Minibatch]:
        """The rest of the epoch; the time to make a minibatch counts as training time."""
        made = self.minibatches.epoch(self.progress.epoch, self.progress.minibatch)
        while True:
            begun = time.perf_counter()
            with self.phases.phase("data"):
                minibatch = next(made, None)
            if minibatch is None:
                return
            self.progress.seconds += time.perf_counter() - begun
            yield minibatch

    def _timed_step(self, minibatch: Minibatch) -> None:
        begun = time.perf_counter()
        progress = self.progress
        rate = learning_rate(self.recipe) * self.schedule.factor(progress.step)
        with enough_memory(self.step, minibatch):
            done = self.step.gradients(minibatch)
            if not self._most_waiting and not math.isfinite(float(done.data_loss)):
                self._fail(float(done.data_loss), progress.step + 1, rate)
            with self.phases.phase("update"):
                norm = self.step.update(rate)
                if self.average is not None:
                    self.average.update_parameters(self.module)
        progress.step += 1
        progress.minibatch += 1
        count = minibatch.examples
        progress.seen += count
        progress.examples += count
        self._waiting.append(_Update(progress.step, rate, count, done, norm))
        if len(self._waiting) > self._most_waiting:
            with self.phases.phase("recording"):
                self._look()
        progress.seconds += time.perf_counter() - begun

    def _look(self) -> None:
        """Read what the last updates went by, which waits for an accelerator."""
        updates, self._waiting = self._waiting, []
        for update in updates:
            step, rate, done = update.step, update.rate, update.done
            value = float(done.data_loss)
            if not math.isfinite(value):
                self._fail(value, step, rate)
            metrics = {"train/data_loss": value, "learning_rate": rate}
            if update.norm is not None:
                metrics["gradient_norm"] = float(update.norm)
            self.progress.loss_sum += value * update.count
            self.progress.correct += float(done.right)
            self._rows.append((step, metrics))
            self.observer.stepped(step, value)

    def _fail(self, value: float, step: int, rate: float) -> None:
        finer = " or compute in --precision bfloat16"
        raise TrainingError(
            f"the data loss is {value} at step {step} (learning rate {rate:g}): lower "
            "--learning-rate, clip the gradient (--clip-norm 1), normalize the data"
            f"{finer if self.step.execution.precision == 'float16' else ''}"
        )

    def _end_epoch(self) -> None:
        self._look()
        progress, dataset = self.progress, self.dataset
        data_loss = progress.loss_sum / progress.seen
        metrics = {"train/epoch_data_loss": data_loss}
        accuracy = None
        if dataset.task != "regression":
            metrics["train/accuracy"] = accuracy = progress.correct / progress.seen
        if self.recipe.weight_decay and self.recipe.update_rule != "adamw":
            with torch.no_grad():
                regularization = self.recipe.weight_decay * float(self.step.penalty())
            metrics["train/regularization_loss"] = regularization
            metrics["train/full_loss"] = data_loss + regularization
        self.here.same_buffers(self.judged)
        validation = evaluate(
            self.judged,
            dataset,
            dataset.validation,
            self.step.loss,
            execution=self.step.execution,
            flips=self.recipe.average_flips,
            here=self.here,
        )
        if validation is not None:
            metrics["validation/loss"] = validation.loss
            if validation.accuracy is not None:
                metrics["validation/accuracy"] = validation.accuracy
        self._rows.append((progress.step, metrics))
        progress.epoch += 1
        progress.minibatch, progress.seen = 0, 0
        progress.loss_sum = progress.correct = 0.0
        if validation is not None and self.recipe.early_stopping:
            self._remember_best(validation.loss)
        self.observer.epoch_ended(
            EpochReport(
                epoch=progress.epoch,
                step=progress.step,
                data_loss=data_loss,
                accuracy=accuracy,
                validation_loss=metrics.get("validation/loss"),
                validation_accuracy=metrics.get("validation/accuracy"),
                seconds=progress.seconds,
            )
        )

    def _remember_best(self, validation_loss: float) -> None:
        progress = self.progress
        progress.waited += 1
        if progress.best_loss is None or validation_loss < progress.best_loss:
            progress.best_loss, progress.waited = validation_loss, 0
            self.saving.save_best(progress)

    def _keep(self, final: bool) -> None:
        """Report and save when it is time to."""
        now = time.monotonic()
        every, progress = self.recipe.checkpoint_every, self.progress
        due = progress.step % every == 0 if every else progress.minibatch == 0
        # what all must do together cannot go by the clock of each
        late = now - self._saved > _SECONDS_BETWEEN_CHECKPOINTS and not is_sharded(self.module)
        if final or due or late:
            self._save()
        elif now - self._reported > _SECONDS_BETWEEN_REPORTS:
            self.report()

    def report(self) -> None:
        """Write what has gathered since the last report, in one transaction."""
        self._look()
        if self._rows and self.here.main:
            self.store.report_many(self.run, self._rows)
        self._rows = []
        self._reported = time.monotonic()

    def _save(self) -> None:
        self.report()  # first, so that a checkpoint never stands for metrics that are not there
        self.saving.save(self.progress)
        self._saved = time.monotonic()
