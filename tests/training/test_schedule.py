"""Schedules agree with PyTorch's own and with their formulas."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from chainrule.training.schedule import Schedule


def _torch_rates(make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_cosine(steps: int) -> None:
    expected = _torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=steps), steps)
    schedule = Schedule("cosine", steps)
    assert [schedule.factor(step) for step in range(steps)] == pytest.approx(expected)


@pytest.mark.parametrize("steps", [10, 40, 333])
def test_one_cycle(steps: int) -> None:
    expected = _torch_rates(
        lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=steps + 1, cycle_momentum=False
        ),
        steps,
    )
    # PyTorch warns when its scheduler is stepped past the end, hence one step more there
    schedule = Schedule("one-cycle", steps + 1)
    assert [schedule.factor(step) for step in range(steps)] == pytest.approx(expected)


def test_step() -> None:
    expected = _torch_rates(lambda o: lr_scheduler.StepLR(o, step_size=3, gamma=0.5), 10)
    schedule = Schedule("step", 10, step_every=3, step_factor=0.5)
    assert [schedule.factor(step) for step in range(10)] == pytest.approx(expected)


def test_constant() -> None:
    assert {Schedule("constant", 5).factor(step) for step in range(5)} == {1.0}


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "one-cycle"])
def test_warm_up_rises_linearly_and_then_the_schedule_begins(name: str) -> None:
    plain, warm = Schedule(name, 20, step_every=5), Schedule(name, 24, warmup=4, step_every=5)
    assert [warm.factor(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [warm.factor(step + 4) for step in range(20)] == pytest.approx(
        [plain.factor(step) for step in range(20)]
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_one_cycle_survives_very_short_runs(steps: int) -> None:
    factors = [Schedule("one-cycle", steps).factor(step) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
