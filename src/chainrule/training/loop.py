"""Loop: minibatch, scores, full loss, gradients, clipping, update; recorded and saved."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.errors import TrainingError
from chainrule.nn.losses import LOSSES
from chainrule.nn.penalties import apply_max_norm_, penalty, regularized_parameters
from chainrule.record.store import RunStore
from chainrule.training.checkpoint import (
    Checkpoint,
    load_updates,
    load_weights,
    prune_checkpoints,
    save_checkpoint,
)
from chainrule.training.data.dataset import Dataset
from chainrule.training.evaluation import Loss, correct, evaluate
from chainrule.training.interrupt import Interrupt
from chainrule.training.minibatches import Minibatch, Minibatches, steps_per_epoch
from chainrule.training.observer import EpochReport, Observer
from chainrule.training.progress import Progress
from chainrule.training.recipe import Recipe
from chainrule.training.schedule import Schedule
from chainrule.training.update_rules import build_optimizer, learning_rate

_SECONDS_BETWEEN_REPORTS = 1.0
_SECONDS_BETWEEN_CHECKPOINTS = 60.0
DEFAULT_L1_RATIO = 0.5


def loss_of(recipe: Recipe) -> Loss:
    """The recipe's data loss as a function of scores (N, K) and targets."""
    # the data were checked once, when they were loaded
    options: dict[str, Any] = {"check": False}
    if recipe.loss == "softmax":
        options["label_smoothing"] = recipe.label_smoothing
    return partial(LOSSES[str(recipe.loss)], **options)


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


class Loop:
    """Trains a module by a recipe, reporting to a store and saving checkpoints.

    Args:
        module: on its device, initialized.
        dataset: on the same device.
        recipe: with its loss resolved.
        store: where metrics and events go.
        run: identifier of a run that the caller has created and holds.
        observer: who looks on.
    """

    def __init__(
        self,
        module: nn.Module,
        dataset: Dataset,
        recipe: Recipe,
        store: RunStore,
        run: str,
        observer: Observer,
    ) -> None:
        self.module, self.dataset, self.recipe = module, dataset, recipe
        self.store, self.run, self.observer = store, run, observer
        self.checkpoints: Path = store.path(run) / "checkpoints"
        self.progress = Progress()
        self.loss = loss_of(recipe)
        self.minibatches = Minibatches(dataset, recipe)
        self.per_epoch = steps_per_epoch(len(dataset.train), recipe.batch_size)
        self.schedule = schedule_of(recipe, self.per_epoch)
        chosen = regularized_parameters(
            module, biases=recipe.penalize_biases, norms=recipe.penalize_norms
        )
        self.regularized = [parameter for _, parameter in chosen]
        touched = {id(parameter) for parameter in self.regularized}
        self.trainable = [item for item in module.parameters() if item.requires_grad]
        others = [item for item in self.trainable if id(item) not in touched]
        self.optimizer = build_optimizer(recipe, self.regularized, others)
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._reported = self._saved = time.monotonic()

    @property
    def steps(self) -> int:
        """Number of updates of the whole run."""
        return self.recipe.epochs * self.per_epoch

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        load_weights(checkpoint.path, self.module)
        load_updates(checkpoint.path, self.optimizer)
        self.progress = Progress(**checkpoint.state)

    def fit(self, interrupt: Interrupt) -> bool:
        """Train to the end of the recipe; False when interrupted (saved, resumable).

        Raises:
            TrainingError: the loss is no longer finite.
            CheckpointError, RunError: the disk is full or cannot be written.
        """
        self.module.train()
        progress = self.progress
        while progress.epoch < self.recipe.epochs and not self._patience_is_over():
            for minibatch in self.minibatches.epoch(progress.epoch, progress.minibatch):
                self._timed_step(minibatch)
                if progress.minibatch == self.per_epoch:
                    self._end_epoch()
                self._keep(final=bool(interrupt.signal_number))
                if interrupt.signal_number:
                    return False
        self._save()
        if self._patience_is_over():
            message = f"no better validation loss for {progress.waited} epochs"
            self.store.note(self.run, progress.step, "early-stopping", message)
        self._restore_best()
        return True

    def _patience_is_over(self) -> bool:
        patience = self.recipe.early_stopping
        return bool(patience) and self.progress.waited >= patience

    def _timed_step(self, minibatch: Minibatch) -> None:
        begun = time.perf_counter()
        data_loss, metrics, right = self._step(minibatch)
        progress = self.progress
        progress.seconds += time.perf_counter() - begun
        progress.step += 1
        progress.minibatch += 1
        count = len(minibatch.labels)
        progress.loss_sum += data_loss * count
        progress.correct += right
        progress.seen += count
        progress.examples += count
        self._rows.append((progress.step, metrics))
        self.observer.stepped(progress.step, data_loss)

    def _step(self, minibatch: Minibatch) -> tuple[float, dict[str, float], float]:
        """One update; gives the data loss, what to record and the number of right answers."""
        rate = learning_rate(self.recipe) * self.schedule.factor(self.progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        scores = self.module(minibatch.inputs)
        data_loss = self.loss(scores, minibatch.targets)
        value = float(data_loss.detach())
        if not math.isfinite(value):
            self._fail(value, rate)
        (data_loss + self._penalty_in_loss()).backward()  # type: ignore[no-untyped-call]
        metrics = {"train/data_loss": value, "learning_rate": rate} | self._clip()
        self.optimizer.step()
        if self.recipe.max_norm is not None:
            apply_max_norm_(self.module, self.recipe.max_norm)
        right = 0.0
        if self.dataset.task != "regression":
            right = float(correct(scores.detach(), minibatch.labels, self.dataset.task))
        return value, metrics, right

    def _penalty_in_loss(self) -> Tensor | float:
        """l1 and elastic stand in the loss; torch.optim adds the gradient of l2 itself."""
        if self.recipe.penalty == "l2" or not self.recipe.weight_decay:
            return 0.0
        return self.recipe.weight_decay * self._penalty()

    def _penalty(self) -> Tensor:
        ratio = self.recipe.l1_ratio
        return penalty(
            self.regularized,
            self.recipe.penalty,
            l1_ratio=DEFAULT_L1_RATIO if ratio is None else ratio,
        )

    def _clip(self) -> dict[str, float]:
        recipe = self.recipe
        if recipe.clip_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.trainable, recipe.clip_norm)
            return {"gradient_norm": float(norm)}
        if recipe.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.trainable, recipe.clip_value)
        return {}

    def _fail(self, value: float, rate: float) -> None:
        step = self.progress.step + 1
        raise TrainingError(
            f"the data loss is {value} at step {step} (learning rate {rate:g}): lower "
            "--learning-rate, clip the gradient (--clip-norm 1) or normalize the data"
        )

    def _end_epoch(self) -> None:
        progress, dataset = self.progress, self.dataset
        data_loss = progress.loss_sum / progress.seen
        metrics = {"train/epoch_data_loss": data_loss}
        accuracy = None
        if dataset.task != "regression":
            metrics["train/accuracy"] = accuracy = progress.correct / progress.seen
        if self.recipe.weight_decay and self.recipe.update_rule != "adamw":
            with torch.no_grad():
                regularization = self.recipe.weight_decay * float(self._penalty())
            metrics["train/regularization_loss"] = regularization
            metrics["train/full_loss"] = data_loss + regularization
        validation = evaluate(self.module, dataset, dataset.validation, self.loss)
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
            # a name of its own: the one before is removed only when a step checkpoint knows this
            progress.best = f"best-{progress.step:09d}"
            self._write_checkpoint(progress.best)

    def _restore_best(self) -> None:
        if self.progress.best is not None:
            load_weights(self.checkpoints / self.progress.best, self.module)

    def _keep(self, final: bool) -> None:
        """Report and save when it is time to."""
        now = time.monotonic()
        every, progress = self.recipe.checkpoint_every, self.progress
        due = progress.step % every == 0 if every else progress.minibatch == 0
        if final or due or now - self._saved > _SECONDS_BETWEEN_CHECKPOINTS:
            self._save()
        elif now - self._reported > _SECONDS_BETWEEN_REPORTS:
            self.report()

    def report(self) -> None:
        """Write what has gathered since the last report, in one transaction."""
        if self._rows:
            self.store.report_many(self.run, self._rows)
            self._rows = []
        self._reported = time.monotonic()

    def _save(self) -> None:
        self.report()  # first, so that a checkpoint never stands for metrics that are not there
        self._write_checkpoint(f"step-{self.progress.step:09d}")
        prune_checkpoints(self.checkpoints, self.progress.best)
        self._saved = time.monotonic()

    def _write_checkpoint(self, name: str) -> None:
        save_checkpoint(
            self.checkpoints,
            name,
            self.progress.step,
            self.module,
            self.optimizer,
            asdict(self.progress),
        )
