"""Checkpoints: whole or absent, exact, and never executed."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from chainrule.errors import CheckpointError
from chainrule.training.checkpoint import (
    latest_checkpoint,
    load_updates,
    load_weights,
    prune_checkpoints,
    read_checkpoint,
    save_checkpoint,
)
from chainrule.training.recipe import Recipe
from chainrule.training.update_rules import build_optimizer


def _network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def _trained(rule: str = "adam") -> tuple[nn.Module, torch.optim.Optimizer]:
    module = _network()
    optimizer = build_optimizer(Recipe(update_rule=rule), module.parameters(), [])
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
    return module, optimizer


@pytest.mark.parametrize(
    "rule", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
)
def test_weights_and_updates_return_bit_for_bit(tmp_path: Path, rule: str) -> None:
    module, optimizer = _trained(rule)
    path = save_checkpoint(tmp_path, "step-3", 3, module, optimizer, {"x": 0.1})
    other = _network()
    other_optimizer = build_optimizer(Recipe(update_rule=rule), other.parameters(), [])
    load_weights(path, other)
    load_updates(path, other_optimizer)
    assert read_checkpoint(path).state == {"x": 0.1}
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    inputs = torch.randn(8, 3)
    for one, its_optimizer in ((module, optimizer), (other, other_optimizer)):
        its_optimizer.zero_grad()
        one(inputs).square().sum().backward()
        its_optimizer.step()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_tied_weights(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    optimizer = build_optimizer(Recipe(), module.parameters(), [])
    path = save_checkpoint(tmp_path, "step-1", 1, module, optimizer, {})
    load_weights(path, module)
    assert module[1].weight is module[0].weight


def test_the_newest_is_found_and_old_ones_are_pruned(tmp_path: Path) -> None:
    module, optimizer = _trained()
    assert latest_checkpoint(tmp_path / "none") is None
    for step in (1, 2, 10):
        save_checkpoint(tmp_path, f"step-{step:09d}", step, module, optimizer, {})
    for name in ("best-1", "best-2"):
        save_checkpoint(tmp_path, name, 2, module, optimizer, {})
    prune_checkpoints(tmp_path, best="best-2")
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best-2",
        "step-000000002",
        "step-000000010",
    ]


def test_a_full_disk_leaves_the_last_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, optimizer = _trained()
    save_checkpoint(tmp_path, "step-1", 1, module, optimizer, {})

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)  # the last of the three files
    with pytest.raises(CheckpointError, match="No space left") as caught:
        save_checkpoint(tmp_path, "step-2", 2, module, optimizer, {})
    assert "--resume" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert read_checkpoint(tmp_path / "step-1").step == 1


def test_another_network_is_refused_by_its_first_difference(tmp_path: Path) -> None:
    module, optimizer = _trained()
    path = save_checkpoint(tmp_path, "step-1", 1, module, optimizer, {})
    other = _network(width=5)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(path, other)
    for fragment in ("another network", "'0.weight'", "(4, 3) there", "(5, 3) here"):
        assert fragment in str(caught.value)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("damage", ["cut", "missing", "garbage"])
def test_damage_is_told(tmp_path: Path, damage: str) -> None:
    module, optimizer = _trained()
    path = save_checkpoint(tmp_path, "step-1", 1, module, optimizer, {})
    file = path / "weights.safetensors"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:40] if damage == "cut" else b"\x80\x04N.")
    with pytest.raises(CheckpointError, match=r"weights.safetensors' cannot be read"):
        load_weights(path, module)


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    module, optimizer = _trained()
    path = save_checkpoint(tmp_path, "step-1", 1, module, optimizer, {})
    record = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(CheckpointError, match="format"):
        read_checkpoint(path)
