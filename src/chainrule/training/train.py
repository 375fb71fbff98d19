"""train: recipe, data, network, loop and result, in one call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chainrule.analysis.table import network_table
from chainrule.errors import ChainruleError, RecipeError, RunError
from chainrule.network.source import describe_name
from chainrule.record.environment import hardware, versions
from chainrule.record.store import RunStore
from chainrule.training.archive import save_result
from chainrule.training.checkpoint import latest_checkpoint, save_weights
from chainrule.training.data.dataset import Dataset
from chainrule.training.data.load import dataset_names
from chainrule.training.evaluation import confusion_matrix, evaluate, worst_mistakes
from chainrule.training.interrupt import Interrupt, TrainingStopped
from chainrule.training.loop import Loop
from chainrule.training.minibatches import on_device
from chainrule.training.observer import Observer, Start
from chainrule.training.prepare import (
    prepare_data,
    prepare_network,
    resolve_device,
    resolve_recipe,
    shape_notes,
)
from chainrule.training.recipe import Recipe, make_recipe
from chainrule.training.result import TrainingResult


def train(
    network: str | nn.Module | None = None,
    data: str | Path | Dataset | None = None,
    *,
    recipe: Recipe | None = None,
    runs: str | Path = "runs",
    resume: str | None = None,
    observer: Observer | None = None,
    **settings: Any,
) -> TrainingResult:
    """Train a network on data, keep the run, and report on held-out test data.

    Args:
        network: notation, zoo name, ``module:attribute``, ``file.py:Class`` or a module, which
            is then trained in place.
        data: name of a data set, a path, or a ``Dataset``.
        recipe: a whole recipe; ``settings`` then change single fields of it.
        runs: folder of the run store.
        resume: identifier of a run to go on with (``"last"`` for the newest); its own recipe
            counts, so nothing else but the module or data it was made with may be given.
        observer: who looks on.
        settings: fields of :class:`chainrule.Recipe`: epochs, batch_size, update_rule, ...

    Returns:
        The result; ``print`` it, or look at its ``folder`` for the report.

    Raises:
        ChainruleError: bad input, each kind under its own name (see chainrule.errors).
        TrainingStopped: Ctrl-C; the run is saved and can be resumed.

    The random state of PyTorch is left as it was found.

    Examples:
        >>> result = train("FC-10", "digits", epochs=2, runs=getfixture("tmp_path"))
        >>> result.test_accuracy > 0.5
        True
    """
    store = RunStore(runs, create=resume is None)
    record = None
    if resume is not None:
        if recipe is not None or settings:
            raise RecipeError(
                "resume goes on with the run's own recipe: leave out "
                f"{', '.join(sorted(settings)) or 'recipe'}"
            )
        record = store.run(resume)
        if record.ended == "finished":
            raise RunError(
                f"run '{record.id}' has finished after {record.steps} steps: nothing to resume"
            )
        chosen = make_recipe(record.recipe)
    else:
        chosen = _merge(recipe, network, data, settings)
    given_data = data if isinstance(data, Dataset) else None
    given_module = network if isinstance(network, nn.Module) else None
    if record is not None:
        _refuse_other_names(record.recipe, network, data)
    device = resolve_device(chosen.device)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(_forked(device), device_type=_family(device)))
        torch.manual_seed(chosen.seed)
        dataset = prepare_data(chosen, given_data)
        chosen = resolve_recipe(chosen, dataset)
        module = prepare_network(chosen, dataset, given_module).to(device)
        dataset = on_device(dataset, device)
        if record is None:
            run = store.create(
                name=dataset.name,
                recipe=chosen.plain(),
                network=chosen.network,
                data=_data_record(dataset),
                parameters=sum(item.numel() for item in module.parameters()),
                versions=versions(),
                hardware=hardware(str(device)),
            )
        else:
            run = record.id
            _refuse_other_data(record.data, dataset)
        stack.enter_context(store.hold(run))
        session = _Session(store, run, chosen, dataset, module, observer or Observer())
        return session.go(resuming=record is not None)


class _Session:
    """One sitting of a run, from its first (or next) step to its end."""

    def __init__(
        self,
        store: RunStore,
        run: str,
        recipe: Recipe,
        dataset: Dataset,
        module: nn.Module,
        observer: Observer,
    ) -> None:
        self.store, self.run, self.recipe = store, run, recipe
        self.dataset, self.module, self.observer = dataset, module, observer
        self.table = network_table(module, dataset.input_shape, recipe.network, shape_notes(module))
        self.loop = Loop(module, dataset, recipe, store, run, observer)

    def go(self, resuming: bool) -> TrainingResult:
        """Train, evaluate, keep the result, and say in the store how it ended."""
        with Interrupt() as interrupt:
            try:
                if resuming:
                    self._resume()
                self.observer.started(self._start())
                finished = self.loop.fit(interrupt)
                self.observer.ended()
                result = self._result("finished" if finished else "stopped")
                folder = Path(result.folder)
                save_result(result, folder)
                if finished:
                    save_weights(folder / "weights.safetensors", self.module)
                self._finish(result)
            except BaseException as error:
                self.observer.ended()
                self._failed(error)
                raise
        if not finished:
            raise TrainingStopped(result, interrupt.signal_number)
        return result

    def _resume(self) -> None:
        checkpoint = latest_checkpoint(self.loop.checkpoints)
        if checkpoint is not None:
            self.loop.resume(checkpoint)
        self.store.resume(self.run, self.loop.progress.step)

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
        )

    def _result(self, ended: str) -> TrainingResult:
        dataset, progress = self.dataset, self.loop.progress
        test = None  # who presses Ctrl-C does not wait for a test
        if ended == "finished":
            test = evaluate(self.module, dataset, dataset.test, self.loop.loss)
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
            curves=self.store.metrics(self.run),
            classes=dataset.classes,
            confusion=confusion_matrix(test.scores, targets).numpy() if test and classify else None,
            filters=_first_filters(self.module),
            mistakes=worst_mistakes(test.scores, dataset.test)
            if test and classify and dataset.image
            else (),
            table=self.table,
            recipe=self.recipe.plain(),
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


def _merge(
    recipe: Recipe | None,
    network: str | nn.Module | None,
    data: str | Path | Dataset | None,
    settings: dict[str, Any],
) -> Recipe:
    """One validated recipe from a whole one, the two things named first, and single fields."""
    values: dict[str, Any] = recipe.plain() if recipe is not None else {}
    if network is not None:
        values["network"] = describe_name(network)
    if data is not None:
        values["data"] = data.name if isinstance(data, Dataset) else str(data)
    values |= settings
    for key in ("data", "data_dir"):  # absolute, so that a run can be resumed from any folder
        given = str(values.get(key) or "")
        if given and given not in dataset_names() and Path(given).exists():
            values[key] = str(Path(given).resolve())
    return make_recipe(values)


def _refuse_other_names(
    kept: dict[str, Any], network: str | nn.Module | None, data: str | Path | Dataset | None
) -> None:
    for key, given in (("network", network), ("data", data)):
        if isinstance(given, str | Path) and str(given) != kept[key]:
            raise RecipeError(
                f"resume goes on with the run's own {key} {kept[key]!r}, got {str(given)!r}: "
                "leave it out"
            )


def _refuse_other_data(kept: dict[str, Any], dataset: Dataset) -> None:
    if kept["fingerprint"] != dataset.fingerprint:
        raise RunError(
            f"data '{dataset.name}' have changed since the run began (fingerprint "
            f"{dataset.fingerprint[:12]}, was {kept['fingerprint'][:12]}): give the same files, "
            "or start a new run"
        )


def _data_record(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "task": dataset.task,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "examples": [len(dataset.train), len(dataset.validation), len(dataset.test)],
    }


def _first_filters(module: nn.Module) -> Any:
    """(F, C, kh, kw) weights of the first 2-D convolution as NumPy, or None."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            return layer.weight.detach().float().cpu().numpy().copy()
    return None


def _family(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type


def _forked(device: torch.device) -> list[int]:
    """Which accelerators' random states to put back (the CPU's always is)."""
    return [] if device.type == "cpu" else [device.index or 0]
