"""Looked: a network with data to look at it on, by the words of the command line.

A network in any form with ``--data``, or a kept run: its network, data, loss and weights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from chainrule.record.run import RunRecord
    from chainrule.record.store import RunStore
    from chainrule.training.data.dataset import Dataset
    from chainrule.training.evaluation import Loss
    from chainrule.training.recipe import Recipe

_RUN = re.compile(r"last|\d{4,8}(-\S*)?")


@dataclass(frozen=True)
class Looked:
    """What is looked at.

    Attributes:
        name: the network's text, with the run it comes from.
        module: the network, in training mode; of a run with its saved weights.
        dataset: its data.
        recipe: of the run; of a network by name what training it by default would take.
        loss: the data loss, scores (N, K) and targets to one number.
        note: where the weights come from.
    """

    name: str
    module: nn.Module
    dataset: Dataset
    recipe: Recipe
    loss: Loss
    note: str

    def examples(self, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Normalized inputs and targets of ``count`` training examples, drawn without return.

        Raises:
            RecipeError: ``count`` is below 1.
        """
        import torch

        from chainrule.errors import RecipeError

        if count < 1:
            raise RecipeError(f"examples got {count}, wants a whole number from 1")
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(self.dataset.train), generator=generator)[:count]
        part = self.dataset.train.select(chosen)
        return self.dataset.normalize(part.inputs), part.targets


def looked(
    target: str,
    data: str | None = None,
    *,
    loss: str | None = None,
    runs: Path = Path("runs"),
    seed: int = 0,
) -> Looked:
    """A network with its data, from what a user names.

    Args:
        target: a network in any form; or a run: its identifier, its beginning or "last".
        data: what ``chainrule.load_data`` takes; a run brings its own.
        loss: name of a data loss; by default the run's, or the usual one for the data.
        runs: folder of kept runs.
        seed: fixes the weights of networks given by text, and the split of the data.

    Raises:
        ChainruleError: no such network, run or data, or they do not fit together.
    """
    from chainrule.analysis.tracer import same_random_state

    with same_random_state():
        if _RUN.fullmatch(target.strip()):
            return _run(target.strip(), data, loss, runs)
        return _network(target, data, loss, seed)


def _network(target: str, data: str | None, loss: str | None, seed: int) -> Looked:
    from chainrule.errors import DataError
    from chainrule.training.recipe import make_recipe

    if data is None:
        raise DataError(
            "data are missing: add --data digits (or mnist, cifar10, hf:NAME, a .csv, a folder of "
            "images), or name a run, which brings its own"
        )
    values = {"network": target, "data": data, "seed": seed, "batch_size": 1}
    recipe = make_recipe(values | ({"loss": loss} if loss else {}))
    return _made(recipe, target, "weights as initialized")


def _run(name: str, data: str | None, loss: str | None, runs: Path) -> Looked:
    from chainrule.errors import DataError, RunError
    from chainrule.record.store import RunStore
    from chainrule.training.recipe import make_recipe

    store = RunStore(runs)
    record = store.run(name)
    if data is not None:
        raise DataError(f"data got '{data}', but run '{record.id}' brings its own: leave it out")
    if "watched" in record.recipe:
        raise RunError(
            f"run '{record.id}' was watched, not trained by chainrule: its network is made by "
            f"{record.data.get('source') or 'the program itself'}; name it as file.py:Class"
        )
    recipe = make_recipe(record.recipe | ({"loss": loss} if loss else {}))
    found = _made(recipe, f"{record.network} of run {record.id}", "", record)
    return Looked(
        found.name, found.module, found.dataset, found.recipe, found.loss,
        _weights(store, record, found.module),
    )  # fmt: skip


def _made(recipe: Recipe, name: str, note: str, record: RunRecord | None = None) -> Looked:
    import torch

    from chainrule.errors import RunError
    from chainrule.training.prepare import prepare_data, prepare_network, resolve_recipe
    from chainrule.training.step import loss_of

    torch.manual_seed(recipe.seed)
    dataset = prepare_data(recipe, None)
    if record is not None and record.data.get("fingerprint") != dataset.fingerprint:
        raise RunError(
            f"data '{dataset.name}' have changed since run '{record.id}' (another fingerprint): "
            "put the same files back"
        )
    recipe = resolve_recipe(recipe, dataset)
    module = prepare_network(recipe, dataset, None)
    return Looked(name, module.train(), dataset, recipe, loss_of(recipe), note)


def _weights(store: RunStore, record: RunRecord, module: nn.Module) -> str:
    """Load the run's last weights; says which they are."""
    from chainrule.errors import RunError
    from chainrule.training.checkpoint import latest_checkpoint, load_weights

    folder = store.path(record.id)
    if (folder / "weights.safetensors").exists():
        load_weights(folder, module)
        return f"weights at the end of run {record.id}"
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        raise RunError(f"run '{record.id}' has saved no weights ({record.ended}): name another")
    load_weights(checkpoint.path, module)
    return f"weights of run {record.id} after step {checkpoint.step}"
