"""Several processes train as one does: the same minibatches, losses, record and checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import chainrule
from chainrule.errors import RecipeError
from chainrule.record.store import RunStore
from chainrule.training.data.load import load_data
from chainrule.training.distributed import World, piece
from chainrule.training.minibatches import Minibatches
from chainrule.training.recipe import Recipe

WORKER = Path(__file__).parent / "distributed_worker.py"
NOTATION = "CONV3-4, BN, RELU, POOL2, FC-16, TANH, FC-10"
# 107 examples: the last minibatch of an epoch is smaller, and odd
SETTINGS: dict[str, Any] = {
    "network": NOTATION,
    "limit": 107,
    "epochs": 5,
    "batch_size": 16,
    "augment": "crop=1,cutout=2",
    "update_rule": "momentum",
    "learning_rate": 0.1,
    "clip_norm": 5.0,
    "weight_decay": 1e-3,
}
TOGETHER = {"sync_batchnorm": True}  # which is refused to one process


def _torchrun(runs: Path, *options: str, processes: int = 2, **told: Any) -> str:
    """Run the worker under torchrun; gives what it wrote."""
    runs.mkdir(exist_ok=True)
    file = runs / "told.json"
    file.write_text(json.dumps({"runs": str(runs), **told}))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*command, "--standalone", *options, str(WORKER), str(file)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def _weights(runs: Path) -> dict[str, torch.Tensor]:
    return load_file(RunStore(runs).path(RunStore(runs).run("last").id) / "weights.safetensors")


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    alone = chainrule.train(runs=tmp_path / "alone", **SETTINGS)
    _torchrun(tmp_path / "two", settings=SETTINGS | TOGETHER)
    found = [json.loads((tmp_path / f"two/rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0] == found[1]
    assert len(RunStore(tmp_path / "two").runs().runs) == 1
    assert found[0]["curves"].keys() == alone.curves.keys()
    for name, series in alone.curves.items():
        got = np.array(found[0]["curves"][name])
        np.testing.assert_allclose(got, np.array(series), rtol=2e-3, atol=1e-5, err_msg=name)
    losses = [loss for _, loss in alone.curves["train/epoch_data_loss"]]
    assert losses[-1] < 0.9 * losses[0]  # it did learn
    for name, value in _weights(tmp_path / "alone").items():
        torch.testing.assert_close(_weights(tmp_path / "two")[name], value, rtol=2e-3, atol=1e-4)
    record = RunStore(tmp_path / "two").run("last")
    assert record.ended == "finished"
    assert record.hardware["processes"] == 2


@pytest.mark.slow
def test_a_lost_process_costs_no_more_than_the_steps_since_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    settings = SETTINGS | {"checkpoint_every": 4, "epochs": 2}
    alone = chainrule.train(runs=tmp_path / "alone", **settings)
    _torchrun(tmp_path / "two", "--max-restarts", "1", settings=settings | TOGETHER, dies=7)
    runs = RunStore(tmp_path / "two").runs().runs
    assert [run.ended for run in runs] == ["finished"]
    events = {event.kind: event.message for event in RunStore(tmp_path / "two").events("last")}
    assert events["resumed"] == "resumed after step 4"
    assert runs[0].steps == alone.steps
    for name, value in _weights(tmp_path / "alone").items():
        torch.testing.assert_close(_weights(tmp_path / "two")[name], value, rtol=2e-3, atol=1e-4)


@pytest.mark.slow
def test_sharded_processes_train_as_one_and_go_on_after_a_loss(tmp_path: Path) -> None:
    settings = SETTINGS | {"checkpoint_every": 4, "epochs": 2, "update_rule": "adam"}
    settings |= {"learning_rate": 0.01, "micro_batch_size": 5, "early_stopping": 5}
    settings |= {"network": NOTATION.replace("BN, ", "")}  # whose statistics are those of a part
    alone = chainrule.train(runs=tmp_path / "alone", **settings)
    sharded = settings | {"sharded": True}
    _torchrun(tmp_path / "two", "--max-restarts", "1", settings=sharded, dies=7)
    found = json.loads((tmp_path / "two/rank-1.json").read_text())
    whole = sum(value.nbytes for value in _weights(tmp_path / "two").values())
    assert found["held"] < 0.6 * whole  # each kept a part
    assert found["test_loss"] == pytest.approx(alone.test_loss, rel=5e-3)
    for name, series in alone.curves.items():
        got = np.array(found["curves"][name])
        np.testing.assert_allclose(got, np.array(series), rtol=5e-3, atol=1e-4, err_msg=name)
    for name, value in _weights(tmp_path / "alone").items():
        torch.testing.assert_close(_weights(tmp_path / "two")[name], value, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("setting", ["sharded", "sync_batchnorm"])
def test_one_process_is_told_what_it_lacks(setting: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"{setting} wants several processes, got 1: .*torchrun"):
        chainrule.train(runs=tmp_path, **SETTINGS | {setting: True})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "--standalone", "-m", "chainrule", "train", "--data", "digit"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode
    assert done.stderr.count("did you mean 'digits'") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [2, 3, 20])
@pytest.mark.parametrize("augment", ["crop=1,flip,rotate,cutout", "crop,mixup"])
def test_the_parts_of_all_processes_are_the_minibatch(size: int, augment: str) -> None:
    dataset = load_data("digits", limit=50)
    recipe = Recipe(batch_size=16, augment=augment, loss="softmax")
    whole = list(Minibatches(dataset, recipe).epoch(1))
    parts = [
        list(Minibatches(dataset, recipe, here=World(rank, size)).epoch(1)) for rank in range(size)
    ]
    for number, minibatch in enumerate(whole):
        mine = [one[number] for one in parts if one[number].share]
        assert torch.equal(torch.cat([one.inputs for one in mine]), minibatch.inputs)
        assert torch.equal(torch.cat([one.targets for one in mine]), minibatch.targets)
        assert sum(one.share for one in mine) == pytest.approx(1)
        assert all(one[number].examples == len(minibatch.labels) for one in parts)
        assert all(len(one[number].labels) for one in parts)  # nobody has nothing to do


@pytest.mark.parametrize(("size", "most"), [(2, 5), (2, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("count", [11, 6, 3])
def test_all_processes_have_as_many_parts(count: int, size: int, most: int) -> None:
    """Or those with fewer would leave the others waiting."""
    dataset = load_data("digits", limit=50)
    minibatch = next(Minibatches(dataset, Recipe(batch_size=count, loss="softmax")).epoch(0))
    shares = [piece(count, rank, size) for rank in range(size)]
    mine = [minibatch.rows(share if share.start < share.stop else slice(0, 1)) for share in shares]
    parts = [one.parts(most, size) for one in mine]
    assert len({len(one) for one in parts}) == 1
    for one, own in zip(parts, mine, strict=True):
        assert all(0 < len(part.labels) <= most for part in one)
        assert sum(part.share for part in one) == pytest.approx(own.share)
        busy = [part.labels for part in one if part.share]
        assert torch.equal(torch.cat(busy), own.labels)


@pytest.mark.parametrize(("count", "pieces"), [(7, 3), (2, 5), (8, 4), (0, 2)])
def test_pieces_are_all_of_it_and_differ_by_one_at_most(count: int, pieces: int) -> None:
    found = [piece(count, number, pieces) for number in range(pieces)]
    assert [place for one in found for place in range(count)[one]] == list(range(count))
    sizes = [one.stop - one.start for one in found]
    assert max(sizes) - min(sizes) <= 1
