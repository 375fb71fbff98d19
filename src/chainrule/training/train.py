"""train: recipe, data, network, loop and result, in one call."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chainrule.errors import RecipeError, RunError
from chainrule.network.source import describe_name
from chainrule.record.environment import hardware, versions
from chainrule.record.run import RunRecord
from chainrule.record.store import RunStore
from chainrule.training.allocator import memory_kept
from chainrule.training.choosing import choose
from chainrule.training.data.dataset import Dataset
from chainrule.training.data.load import dataset_names
from chainrule.training.distributed import World, launch, restarted, said_once, world
from chainrule.training.fitting import fit
from chainrule.training.minibatches import on_device
from chainrule.training.observer import Observer
from chainrule.training.prepare import (
    prepare_data,
    prepare_network,
    resolve_device,
    resolve_recipe,
)
from chainrule.training.recipe import Recipe, make_recipe
from chainrule.training.result import TrainingResult
from chainrule.training.session import Session


def train(
    network: str | nn.Module | None = None,
    data: str | Path | Dataset | None = None,
    *,
    recipe: Recipe | None = None,
    runs: str | Path = "runs",
    resume: str | None = None,
    observer: Observer | None = None,
    profile: bool = False,
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
        profile: time the phases of fifty steps and trace five (``trace.json`` in the folder).
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
    with ExitStack() as stack:
        with said_once():
            chosen = _asked_for(network, data, recipe, resume, settings, runs)
            device = resolve_device(chosen.device)
        here = stack.enter_context(world(device))
        stack.enter_context(
            torch.random.fork_rng(_forked(here.device), device_type=_family(device))
        )
        torch.manual_seed(chosen.seed)
        if here.device.type == "cpu":
            stack.enter_context(memory_kept())
        with here.together():
            record = _record(runs, resume, here)
            if record is None:
                _refuse_alone(chosen, here)
            dataset = prepare_data(chosen, data if isinstance(data, Dataset) else None)
            chosen = resolve_recipe(
                chosen if record is None else make_recipe(record.recipe), dataset
            )
            given = network if isinstance(network, nn.Module) else None
            module = prepare_network(chosen, dataset, given).to(here.device)
            if record is not None:
                _refuse_other_data(record.data, dataset)
            else:
                chosen = fit(chosen, module, dataset)
        looker = observer if observer is not None and here.main else Observer()
        there = on_device(dataset, here.device)
        choice = None
        if record is None:
            found = choose(module, there, chosen, announce=looker.choosing) if here.main else None
            choice = here.agreed(found)
            assert choice is not None
            chosen = chosen.model_copy(update=choice.execution.settings())
        # only now that nothing can be refused any more is anything written
        with here.together():
            store = RunStore(runs, create=True)
            run = record.id if record else ""
            if here.main and choice is not None:
                run = _create(store, chosen, dataset, module, here)
                store.note(run, 0, "execution", choice.words, choice.to_dict())
            if here.main:
                stack.enter_context(store.hold(run))
        run = here.agreed(run)
        session = Session(store, run, chosen, there, module, looker, profile, here)
        return session.go(resuming=record is not None)


def _asked_for(
    network: str | nn.Module | None,
    data: str | Path | Dataset | None,
    recipe: Recipe | None,
    resume: str | None,
    settings: dict[str, Any],
    runs: str | Path,
) -> Recipe:
    """The recipe of a new run, or that of the run to go on with."""
    if resume is None:
        return _merge(recipe, network, data, settings)
    _refuse_settings(recipe, settings)
    record = _resumable(RunStore(runs).run(resume))
    _refuse_other_names(record.recipe, network, data)
    return make_recipe(record.recipe)


def _record(runs: str | Path, resume: str | None, here: World) -> RunRecord | None:
    """The run to go on with: the one named, or the one that lost a process under torchrun."""
    found = None
    if here.main and resume is not None:
        found = RunStore(runs).run(resume)
    elif here.main and restarted():
        kept = RunStore(runs, create=True).runs().runs
        found = next((run for run in reversed(kept) if _is_of_this_launch(run)), None)
    return here.agreed(found)


def _is_of_this_launch(run: RunRecord) -> bool:
    return run.hardware.get("launch") == launch() and run.ended != "finished"


def _create(
    store: RunStore, recipe: Recipe, dataset: Dataset, module: nn.Module, here: World
) -> str:
    return store.create(
        name=dataset.name,
        recipe=recipe.plain(),
        network=recipe.network,
        data=_data_record(dataset),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        versions=versions(),
        hardware=hardware(str(here.device)) | {"processes": here.size, "launch": launch()},
    )


def _refuse_settings(recipe: Recipe | None, settings: dict[str, Any]) -> None:
    if recipe is not None or settings:
        raise RecipeError(
            "resume goes on with the run's own recipe: leave out "
            f"{', '.join(sorted(settings)) or 'recipe'}"
        )


def _refuse_alone(recipe: Recipe, here: World) -> None:
    """What is asked of several processes would do nothing in one; a run that goes on may be."""
    for setting in ("sharded", "sync_batchnorm"):
        if getattr(recipe, setting) and here.size == 1:
            raise RecipeError(
                f"{setting} wants several processes, got 1: start them with torchrun "
                "--nproc-per-node 2 -m chainrule train ..., or leave it out"
            )


def _resumable(record: RunRecord) -> RunRecord:
    if "watched" in record.recipe:
        raise RunError(
            f"run '{record.id}' was watched, not trained by chainrule: only its script can go on; "
            "resume wants a run of chainrule train"
        )
    if record.ended == "finished":
        raise RunError(
            f"run '{record.id}' has finished after {record.steps} steps: nothing to resume"
        )
    return record


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


def _family(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type


def _forked(device: torch.device) -> list[int]:
    """Which accelerators' random states to put back (the CPU's always is)."""
    return [] if device.type == "cpu" else [device.index or 0]
