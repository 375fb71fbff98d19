"""A whole run: kept, resumable bit for bit, and leaving the caller's random state alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import chainrule
from chainrule.errors import CheckpointError, RecipeError, RunError, ShapeError
from chainrule.record.store import RunStore
from chainrule.training.archive import load_result
from chainrule.training.checkpoint import latest_checkpoint
from chainrule.training.data.load import load_data

NOTATION = "CONV3-4, BN, RELU, POOL2, DROPOUT(0.2), FC-10"
SETTINGS = {
    "network": NOTATION,
    "limit": 120,
    "epochs": 4,
    "batch_size": 16,
    "augment": "crop=1,rotate",
    "weight_decay": 1e-3,
    "checkpoint_every": 3,
}


def _train(runs: Path, **settings: object) -> chainrule.TrainingResult:
    return chainrule.train(runs=runs, **(SETTINGS | settings))


def _final_weights(runs: Path, run: str) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(runs / run / "checkpoints")
    assert checkpoint is not None
    return load_file(checkpoint.path / "weights.safetensors")


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_result_agrees_with_a_second_look(tmp_path: Path) -> None:
    module = chainrule.network(NOTATION, input=(1, 8, 8), classes=10)
    settings = {name: value for name, value in SETTINGS.items() if name != "network"}
    result = chainrule.train(module, runs=tmp_path, **settings)
    dataset = load_data("digits", limit=120)
    module.eval()
    with torch.no_grad():
        scores = module(dataset.normalize(dataset.test.inputs)).double().numpy()
    targets = dataset.test.targets.numpy()
    assert result.test_accuracy == pytest.approx(np.mean(scores.argmax(1) == targets))
    exponents = np.exp(scores - scores.max(1, keepdims=True))
    probabilities = exponents / exponents.sum(1, keepdims=True)
    expected = -np.log(probabilities[np.arange(len(targets)), targets]).mean()
    assert result.test_loss == pytest.approx(expected, rel=1e-5)
    confusion = np.zeros((10, 10), int)
    for true, predicted in zip(targets, scores.argmax(1), strict=True):
        confusion[true, predicted] += 1
    np.testing.assert_array_equal(result.confusion, confusion)
    saved = load_file(Path(result.folder) / "weights.safetensors")
    assert _equal(saved, module.state_dict())
    wrong = np.flatnonzero(scores.argmax(1) != targets)
    surest = wrong[np.argsort(-probabilities[wrong].max(1))]
    assert [mistake.index for mistake in result.mistakes] == list(surest[:24])
    for mistake in result.mistakes:
        assert mistake.probability == pytest.approx(probabilities[mistake.index].max(), rel=1e-4)
    assert result.parameters == sum(p.numel() for p in module.parameters())
    assert result.filters.shape == (4, 1, 3, 3)


def test_the_kept_result_is_the_result(tmp_path: Path) -> None:
    result = _train(tmp_path)
    kept = load_result(RunStore(tmp_path), result.run)
    assert kept is not None
    assert kept.to_dict() == json.loads(json.dumps(result.to_dict()))


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path: Path) -> None:
    runs = [_train(tmp_path, seed=seed) for seed in (1, 1, 2)]
    one, same, other = (_final_weights(tmp_path, result.run) for result in runs)
    assert _equal(one, same)
    assert not _equal(one, other)
    assert runs[0].curves == runs[1].curves


def test_random_states_are_left_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    _train(tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


SCRIPT = """
import json, sys
import chainrule
settings = json.loads(sys.argv[1])
chainrule.train(**settings)
"""


def _child(settings: dict[str, object]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, json.dumps(settings)])


@pytest.mark.slow
def test_killed_at_random_steps_and_resumed_it_ends_in_the_same_bits(tmp_path: Path) -> None:
    settings = SETTINGS | {"epochs": 60, "checkpoint_every": 7, "early_stopping": 50}
    whole = _train(tmp_path / "whole", **settings)
    torn = tmp_path / "torn"
    rng, kills = random.Random(0), 0
    arguments: dict[str, object] = settings | {"runs": str(torn)}
    while kills < 3:
        child = _child(arguments)
        _wait_for_training(torn, child)
        time.sleep(rng.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        store = RunStore(torn)
        assert store.run("last").ended == "lost"
        kills += 1
        arguments = {"runs": str(torn), "resume": "last"}
    resumed = chainrule.train(runs=torn, resume="last")
    assert _equal(_final_weights(tmp_path / "whole", whole.run), _final_weights(torn, resumed.run))
    assert resumed.curves == whole.curves
    assert resumed.test_loss == whole.test_loss
    assert resumed.steps == whole.steps


def _wait_for_training(runs: Path, child: subprocess.Popen[bytes]) -> None:
    """Until a checkpoint is written that was not there before."""
    before = set(runs.glob("*/checkpoints/step-*"))
    for _ in range(1200):
        if set(runs.glob("*/checkpoints/step-*")) - before:
            return
        assert child.poll() is None, "the child ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError("no checkpoint within a minute")


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(tmp_path: Path, signal_number: int) -> None:
    settings = [f"--{k.replace('_', '-')}={v}" for k, v in SETTINGS.items() if k != "network"]
    command = [sys.executable, "-m", "chainrule", "train", NOTATION, *settings, "--epochs=2000"]
    child = subprocess.Popen(
        [*command, "--runs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"NO_COLOR": "1"},
    )
    _wait_for_training(tmp_path, child)
    child.send_signal(signal_number)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 128 + signal_number
    record = RunStore(tmp_path).run("last")
    assert record.ended == "stopped"
    assert f"chainrule train --resume {record.id} --runs {tmp_path}" in error.decode()
    checkpoint = latest_checkpoint(tmp_path / record.id / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.step == record.steps


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    result = _train(tmp_path, epochs=1)
    with pytest.raises(RunError, match="has finished after"):
        chainrule.train(runs=tmp_path, resume=result.run)


def test_resume_takes_no_other_recipe(tmp_path: Path) -> None:
    _train(tmp_path, epochs=1)
    with pytest.raises(RecipeError, match="leave out epochs"):
        chainrule.train(runs=tmp_path, resume="last", epochs=3)


def _stopped_run(runs: Path, network: object) -> str:
    class Stop(chainrule.training.observer.Observer):
        def stepped(self, step: int, data_loss: float) -> None:
            if step == 5:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(chainrule.TrainingStopped) as caught:
        chainrule.train(network, runs=runs, limit=120, observer=Stop())
    return caught.value.result.run


def test_resuming_with_another_network_is_refused(tmp_path: Path) -> None:
    run = _stopped_run(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Linear(5, 10))
    with pytest.raises(CheckpointError, match="another network"):
        chainrule.train(other, runs=tmp_path, resume=run)


def test_resuming_with_other_data_is_refused(tmp_path: Path) -> None:
    run = _stopped_run(tmp_path, "FC-10")
    other = load_data("digits", limit=100)
    with pytest.raises(RunError, match="have changed since the run began"):
        chainrule.train(data=other, runs=tmp_path, resume=run)


@pytest.mark.parametrize("loss", ["softmax", "svm", "squared-hinge", "mse", "bce"])
def test_every_loss_learns_digits(tmp_path: Path, loss: str) -> None:
    result = chainrule.train("FC-10", runs=tmp_path, loss=loss, epochs=15, learning_rate=5e-3)
    assert result.test_accuracy is not None
    assert result.test_accuracy > 0.9, loss


@pytest.mark.parametrize(
    "rule", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
)
def test_every_update_rule_learns_digits_at_its_usual_rate(tmp_path: Path, rule: str) -> None:
    result = chainrule.train("FC-10", runs=tmp_path, update_rule=rule, epochs=6)
    assert result.test_accuracy is not None
    assert result.test_accuracy > 0.85, rule


def test_shuffled_labels_are_not_learned(tmp_path: Path) -> None:
    """The referee of the two tests above: chance stays chance."""
    dataset = load_data("digits")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(dataset.train), generator=generator)
    part = type(dataset.train)(dataset.train.inputs, dataset.train.targets[order])
    shuffled = chainrule.Dataset(**{**vars(dataset), "train": part})
    result = chainrule.train("FC-10", shuffled, runs=tmp_path, epochs=3)
    assert result.test_accuracy is not None
    assert result.test_accuracy < 0.3


@pytest.mark.parametrize(
    ("settings", "error", "fragments"),
    [
        ({"network": "CONV3-4, GAP, FC-7", "limit": 90}, ShapeError, ["7 scores", "FC-10"]),
        ({"network": "CONV3-4", "limit": 90}, ShapeError, ["(4, 8, 8)", "FC-10"]),
        ({"network": "RELU, GAP, FC-10", "batch_size": 10**6}, RecipeError, ["batch_size"]),
        ({"network": "FC-10", "device": "cuda:99"}, RecipeError, ["cuda:99", "--device cpu"]),
    ],
)
def test_misfits_are_refused_before_a_run_is_made(
    tmp_path: Path, settings: dict[str, object], error: type[Exception], fragments: list[str]
) -> None:
    with pytest.raises(error) as caught:
        chainrule.train(runs=tmp_path, **settings)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_fails_on_the_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"cannot read examples of shape \(1, 8, 8\)"):
        chainrule.train(nn.Linear(7, 10), runs=tmp_path)


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(chainrule.ChainruleError):
        chainrule.train(
            "FC-10", runs=tmp_path, update_rule="sgd", learning_rate=1e38, schedule="constant"
        )
    record = RunStore(tmp_path).run("last")
    assert record.ended == "failed"
    assert "TrainingError: the data loss is" in record.reason
