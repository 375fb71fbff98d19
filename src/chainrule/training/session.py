"""Session: one sitting of a run, from its first (or next) step to its kept result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from chainrule.analysis.table import network_table
from chainrule.errors import ChainruleError
from chainrule.record.store import RunStore
from chainrule.training.archive import save_result
from chainrule.training.checkpoint import latest_checkpoint, save_weights
from chainrule.training.data.dataset import Dataset
from chainrule.training.distributed import World
from chainrule.training.evaluation import confusion_matrix, evaluate, worst_mistakes
from chainrule.training.execution import threads
from chainrule.training.interrupt import Interrupt, TrainingStopped
from chainrule.training.loop import Loop
from chainrule.training.observer import Observer, Start
from chainrule.training.phases import Phases, Profiler
from chainrule.training.recipe import Recipe
from chainrule.training.recomputation import recomputing
from chainrule.training.result import TrainingResult
from chainrule.training.sharding import is_sharded, whole
from chainrule.training.synchronized import synchronized


class Session:
    """One sitting of a run: trains, evaluates, keeps the result, says how it ended.

    Args:
        store: where the run is kept.
        run: its identifier; the caller has created and holds it.
        recipe: with its open choices made.
        dataset: on the device.
        module: on the device, initialized.
        observer: who looks on.
        profiled: time the phases of some steps and trace a few.
        here: this process among those that train together; the first keeps the record.
    """

    def __init__(
        self,
        store: RunStore,
        run: str,
        recipe: Recipe,
        dataset: Dataset,
        module: nn.Module,
        observer: Observer,
        profiled: bool = False,
        here: World | None = None,
    ) -> None:
        self.store, self.run, self.recipe = store, run, recipe
        self.here = here or World()
        self.dataset, self.module, self.observer = dataset, module, observer
        self.table = network_table(module, dataset.input_shape, recipe.network)
        self.phases = Phases()
        if profiled:
            self.phases = Profiler(store.path(run), dataset.mean.device)
        self.loop = Loop(module, dataset, recipe, store, run, observer, self.phases, self.here)

    def go(self, resuming: bool) -> TrainingResult:
        """Train, evaluate, keep the result, and say in the store how it ended."""
        with self._as_the_recipe_says(), Interrupt() as interrupt:
            try:
                if resuming:
                    self._resume()
                self.observer.started(self._start())
                finished = self.loop.fit(interrupt)
                self.observer.ended()
                result = self._result("finished" if finished else "stopped")
                self._keep(result)
            except BaseException as error:
                self.observer.ended()
                if self.here.main:
                    self._failed(error)
                raise
        if not finished:
            raise TrainingStopped(result, interrupt.signal_number)
        return result

    @contextmanager
    def _as_the_recipe_says(self) -> Iterator[None]:
        recipe, module = self.recipe, self.module
        with (
            threads(self.loop.step.execution.threads),
            recomputing(module, recipe.checkpoint_activations),
            synchronized(module, self.here, recipe.sync_batchnorm),
        ):
            yield

    def _resume(self) -> None:
        found = latest_checkpoint(self.loop.saving.folder) if self.here.main else None
        checkpoint = self.here.agreed(found)
        if checkpoint is not None:
            self.loop.resume(checkpoint)
        if self.here.main:
            self.store.resume(self.run, self.loop.progress.step)

    def _keep(self, result: TrainingResult) -> None:
        folder, main = Path(result.folder), self.here.main
        if main:  # before the weights: a disk that is full then costs no more than them
            save_result(result, folder)
        if result.ended == "finished" and (main or is_sharded(self.module)):
            save_weights(folder / "weights.safetensors", self.module, write=main)
        if main:
            self._finish(result)

    def _start(self) -> Start:
        parts = (self.dataset.train, self.dataset.validation, self.dataset.test)
        train, validation, test = (len(part) for part in parts)
        return Start(
            run=self.run,
            table=self.table,
            data=self.dataset.name,
            examples=(train, validation, test),
            step=self.loop.progress.step,
            steps=self.loop.steps,
            epochs=self.recipe.epochs,
            execution=self.store.last_message(self.run, "execution") if self.here.main else "",
            processes=self.here.size,
        )

    def _result(self, ended: str) -> TrainingResult:
        """The same in all processes: scores are computed together, curves are the first one's."""
        self.here.same_buffers(self.module)
        return self.here.agreed(self._own_result(ended))

    def _own_result(self, ended: str) -> TrainingResult:
        dataset, progress = self.dataset, self.loop.progress
        test = None  # who presses Ctrl-C does not wait for a test
        if ended == "finished":
            test = evaluate(
                self.module,
                dataset,
                dataset.test,
                self.loop.step.loss,
                execution=replace(self.loop.step.execution, precision="float32"),
                flips=self.recipe.average_flips,
                here=self.here,
            )
        classify = dataset.task == "classification" and test is not None
        targets = dataset.test.targets.cpu()
        return TrainingResult(
            run=self.run,
            folder=str(self.store.path(self.run)),
            data=dataset.name,
            network=self.recipe.network,
            task=dataset.task,
            parameters=self.table.parameters,
            ended=ended,
            reason="" if ended == "finished" else "stopped by the user",
            steps=progress.step,
            epochs=progress.epoch,
            seconds=progress.seconds,
            images_per_second=progress.examples / max(progress.seconds, 1e-9),
            test_accuracy=test.accuracy if test else None,
            test_loss=test.loss if test else None,
            curves=self.store.metrics(self.run) if self.here.main else {},
            classes=dataset.classes,
            confusion=confusion_matrix(test.scores, targets).numpy() if test and classify else None,
            filters=_first_filters(self.module),
            mistakes=worst_mistakes(test.scores, dataset.test)
            if test and classify and dataset.image
            else (),
            table=self.table,
            recipe=self.recipe.plain(),
            profile=self.phases.found(),
        )

    def _finish(self, result: TrainingResult) -> None:
        self.store.finish(
            self.run,
            result.ended,
            result.reason,
            seconds=result.seconds,
            summary=result.summary(),
        )

    def _failed(self, error: BaseException) -> None:
        """Say in the store why the run ended, as far as the store still takes it."""
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        for attempt in (self.loop.report, lambda: self._end_as_failed(reason)):
            _quietly(attempt)

    def _end_as_failed(self, reason: str) -> None:
        self.store.finish(self.run, "failed", reason, seconds=self.loop.progress.seconds)


def _quietly(attempt: Callable[[], None]) -> None:
    """A second failure (the disk is still full) must not hide the first."""
    try:
        attempt()
    except ChainruleError:
        return


def _first_filters(module: nn.Module) -> Any:
    """(F, C, kh, kw) weights of the first 2-D convolution as NumPy, or None."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            return whole(layer.weight.detach()).float().cpu().numpy().copy()
    return None
