"""Stopped and resumed, every way of computing ends in the bits of a run that went on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import chainrule
from chainrule.errors import TrainingError
from chainrule.training import loop as loops
from chainrule.training.interrupt import TrainingStopped
from chainrule.training.observer import Observer

WAYS: dict[str, dict[str, object]] = {
    "channels-last": {"memory_format": "channels-last", "update_rule": "adam"},
    "bfloat16": {"precision": "bfloat16", "update_rule": "nesterov"},
    "float16": {"precision": "float16", "update_rule": "momentum", "clip_norm": 1.0},
    "average": {"average_weights": 0.95, "early_stopping": 9},
    "parts": {"micro_batch_size": 7, "checkpoint_activations": True, "update_rule": "adagrad"},
    "precise": {"precise": True, "update_rule": "rmsprop"},
}
SETTINGS = {
    "network": "CONV3-4, BN, RELU, POOL2, CONV3-6, RELU, DROPOUT(0.2), FC-10",
    "limit": 120,
    "epochs": 4,
    "batch_size": 16,
    "augment": "crop=1",
}


class StopsAt(Observer):
    """Presses Ctrl-C when a step was made."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, data_loss: float) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def _weights(result: chainrule.TrainingResult) -> dict[str, torch.Tensor]:
    return load_file(Path(result.folder) / "weights.safetensors")


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_stopped_run_goes_on_in_the_same_bits(tmp_path: Path, way: str) -> None:
    settings = SETTINGS | WAYS[way]
    whole = chainrule.train(runs=tmp_path / "whole", **settings)
    with pytest.raises(TrainingStopped):
        chainrule.train(runs=tmp_path / "torn", observer=StopsAt(13), **settings)
    resumed = chainrule.train(runs=tmp_path / "torn", resume="last")
    expected, got = _weights(whole), _weights(resumed)
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert resumed.curves == whole.curves
    assert resumed.test_loss == whole.test_loss


def test_an_accelerator_is_looked_at_late_and_the_record_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of an accelerator, on the CPU: losses are read many updates later."""
    at_once = chainrule.train(runs=tmp_path, **SETTINGS)
    made = loops.Loop.__init__

    def late(self: loops.Loop, *arguments: object, **named: object) -> None:
        made(self, *arguments, **named)
        self._most_waiting = 5

    monkeypatch.setattr(loops.Loop, "__init__", late)
    waiting = chainrule.train(runs=tmp_path, **SETTINGS)
    assert waiting.curves == at_once.curves
    assert all(torch.equal(_weights(waiting)[k], v) for k, v in _weights(at_once).items())
    with pytest.raises(TrainingError, match=r"the data loss is (nan|inf)"):
        chainrule.train(runs=tmp_path, **SETTINGS | {"update_rule": "sgd", "learning_rate": 1e30})
