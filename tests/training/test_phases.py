"""The phases of a step are timed as a stopwatch would, and their trace is one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import chainrule
from chainrule.errors import RunError
from chainrule.record.store import RunStore
from chainrule.training.archive import load_result
from chainrule.training.phases import PHASES, Profiler

SETTINGS = {"limit": 120, "batch_size": 24, "epochs": 13}  # an epoch ends with the trace


class Slow(nn.Module):
    """Its forward pass takes 3 ms more than it should, its backward pass 6 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            time.sleep(0.003)
        scores = self.layer(values.flatten(1))
        if scores.requires_grad:
            scores.register_hook(lambda _: time.sleep(0.006))
        return scores


def test_a_slow_phase_is_found_and_the_weights_are_as_without(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, twin = Slow(), Slow()
    twin.load_state_dict(module.state_dict())
    plain = chainrule.train(module, "digits", runs=tmp_path, **SETTINGS)
    result = chainrule.train(twin, "digits", runs=tmp_path, profile=True, **SETTINGS)
    assert plain.profile is None
    assert torch.equal(module.layer.weight, twin.layer.weight)
    found = result.profile
    assert found is not None
    assert set(found.phases) == set(PHASES)
    assert found.steps == 50
    assert 0.003 < found.phases["forward"] < 0.006
    assert 0.006 < found.phases["backward"] < 0.009
    assert 0.009 < sum(found.phases.values()) <= found.seconds < 0.03
    events = json.loads(Path(found.trace).read_text())["traceEvents"]
    lengths = [event["dur"] / 1e6 for event in events if event.get("name") == "chainrule::forward"]
    assert len(lengths) == 5
    assert min(lengths) > 0.003
    kept = load_result(RunStore(tmp_path), result.run)
    assert kept is not None
    assert kept.profile == found


def test_operations_are_counted_per_step(tmp_path: Path) -> None:
    result = chainrule.train(
        "FC-16, RELU, FC-10", "digits", runs=tmp_path, profile=True, **SETTINGS
    )
    assert result.profile is not None
    calls = {item.name: item.calls for item in result.profile.operations}
    assert calls.get("aten::addmm") == 2  # one for each layer


def test_a_run_too_short_to_time_has_no_profile(tmp_path: Path) -> None:
    settings = SETTINGS | {"epochs": 3}
    result = chainrule.train("FC-10", "digits", runs=tmp_path, profile=True, **settings)
    assert result.profile is None


def test_validation_is_no_part_of_a_step() -> None:
    profiler = Profiler(Path(), torch.device("cpu"))
    for _ in range(5):
        profiler.stepped()
    with profiler.paused(), profiler.phase("forward"):
        time.sleep(0.01)
    with profiler.phase("forward"):
        time.sleep(0.001)
    assert 0.001 <= profiler._seconds["forward"] < 0.008


def test_a_trace_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path / "missing", torch.device("cpu"))
    for _ in range(59):
        profiler.stepped()
    with pytest.raises(RunError, match="cannot be written"):
        profiler.stepped()
