"""Noisy gradients: the law by its recursion, least squares by autograd and by solving."""

from __future__ import annotations

import pytest
import torch

from chainrule.study.experiments import noisy_gradients as lesson
from chainrule.study.lesson import digits, generator

_SETUP = lesson.Setup(steps=60, chains=20_000, runs=2)


@pytest.mark.parametrize("falling", [False, True])
def test_mean_square_follows_its_recursion(falling: bool) -> None:
    """E w^2 becomes (1 - rate)^2 E w^2 + rate^2 / B."""
    rate = lesson._falling(0.4, 20.0) if falling else lesson._constant(0.4)
    way = lesson.chain(_SETUP, rate, 16, 0)
    square = 9.0
    for step in range(_SETUP.steps):
        square = (1 - rate(step)) ** 2 * square + rate(step) ** 2 / 16
    assert way[-1].tolist() == pytest.approx([square] * 2, rel=0.05)


def test_stationary_is_the_fixed_point_of_the_recursion() -> None:
    square = lesson.stationary(0.3, 8)
    assert (1 - 0.3) ** 2 * square + 0.3**2 / 8 == pytest.approx(square)


def test_excess_is_the_loss_above_that_of_the_solution() -> None:
    """One step from 0 by autograd; the lowest loss by solving the augmented least squares."""
    inputs, wanted = lesson._matrices(digits(50))
    penalty, count = 0.1, 50
    found = lesson.least_squares(
        inputs, wanted, penalty, lesson._constant(0.02), 8, 1, generator(4)
    )

    def loss(weights: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        fit = (inputs[rows] @ weights - wanted[rows]).square().sum() / 2 / len(rows)
        return fit + penalty / 2 * weights.square().sum()

    weights = torch.zeros(65, 10, dtype=torch.float64, requires_grad=True)
    chosen = torch.randint(count, (8,), generator=generator(4))
    (slope,) = torch.autograd.grad(loss(weights, chosen), weights)
    ridge = (penalty * count) ** 0.5 * torch.eye(65, dtype=torch.float64)
    below = torch.zeros(65, 10, dtype=torch.float64)
    lowest = torch.linalg.lstsq(torch.cat([inputs, ridge]), torch.cat([wanted, below])).solution
    rows = torch.arange(count)
    excess = loss(weights - 0.02 * slope, rows) - loss(lowest, rows)
    assert found == pytest.approx([excess.item()])


def test_powers_of_a_power_law() -> None:
    steps = torch.arange(1, 4001, dtype=torch.float64)[:, None]
    assert lesson._powers(1 / steps)[0] == pytest.approx(-0.5, abs=1e-3)
