"""Numerical: orders of error, noise, bounds; many differences at once equal those one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from chainrule.gradients.network_target import network_target
from chainrule.gradients.numerical import (
    Differences,
    ladder,
    noise_of,
    one_hot,
    scale_of,
    scales,
    step_factor,
)
from chainrule.gradients.problem import Problem


def problem_of(function: Callable[[Tensor], Tensor], *point: float) -> Problem:
    leaf = torch.tensor(point, dtype=torch.float64)
    made = Problem("f", {"x": leaf}, lambda values: function(values["x"]))
    made.start()
    return made


@pytest.mark.parametrize(("method", "order"), [("forward", 1), ("central", 2), ("richardson", 4)])
def test_halving_the_step_divides_the_error_by_a_power_of_two(method: str, order: int) -> None:
    """Errors of exp at 1, whose derivatives are all e."""
    differences = Differences(problem_of(lambda x: x.exp().sum(), 1.0))
    places = torch.tensor([0])
    errors = []
    for h in (0.2, 0.1):
        slope, _ = differences.along("x", torch.tensor([h]), places, method)
        errors.append(abs(float(slope) - math.e))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_step_factors_balance_rounding_and_truncation() -> None:
    eps = 2.0**-52
    assert step_factor(torch.float64) == pytest.approx(eps ** (1 / 3))
    assert step_factor(torch.float64, "forward") == pytest.approx(eps**0.5)
    assert step_factor(torch.float64, "richardson") == pytest.approx(eps**0.2)
    assert step_factor(torch.float32) == pytest.approx((2.0**-23) ** (1 / 3))


def test_scales_are_magnitudes_but_no_less_than_a_tenth_of_the_usual_one() -> None:
    leaf = torch.tensor([0.0, 1e-9, -2.0, 4.0, 2.0])
    assert torch.equal(scales(leaf), torch.tensor([0.2, 0.2, 2.0, 4.0, 2.0]))
    assert torch.equal(scales(torch.zeros(3)), torch.full((3,), 0.1))
    assert torch.equal(leaf, torch.tensor([0.0, 1e-9, -2.0, 4.0, 2.0]))


def test_kept_scales_are_those_of_their_own_point() -> None:
    from dataclasses import replace

    problem = problem_of(lambda x: x.sum(), 1.0, 2.0)
    assert torch.equal(scale_of(problem, "x"), scales(problem.leaves["x"]))
    moved = replace(problem, leaves={"x": torch.tensor([5.0, 7.0], dtype=torch.float64)})
    assert torch.equal(scale_of(moved, "x"), moved.leaves["x"])


def test_noise_of_a_function_that_is_known_to_be_noisy() -> None:
    """A wave that turns many times between neighbours is noise; x + 0 has that of its digits."""
    coarse = problem_of(lambda x: (x * 1e17).sin().mul(1e-6).sum() + x.sum(), 1.0)
    assert 1e-7 < float(noise_of(coarse)[0]) < 1e-5
    fine = problem_of(lambda x: x.sum(), 1.0)
    assert float(noise_of(fine)[0]) <= 4 * 2.0**-52


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds_against_exact_arithmetic(seed: int) -> None:
    """A polynomial in fractions: the difference of rounded values is off by less than is said."""
    torch.manual_seed(seed)
    coefficients = torch.randn(6, dtype=torch.float64).tolist()

    def value(x: Tensor) -> Tensor:
        powers = [c * x**k for k, c in enumerate(coefficients)]
        return torch.stack(powers).sum()

    differences = Differences(problem_of(value, 0.7))
    h = Fraction(step_factor(torch.float64))
    slope, noise = differences.along("x", torch.tensor([float(h)]), torch.tensor([0]))
    exact_at = [
        sum(Fraction(c) * (Fraction(0.7) + sign * h) ** k for k, c in enumerate(coefficients))
        for sign in (1, -1)
    ]
    exact = (exact_at[0] - exact_at[1]) / (2 * h)
    assert abs(float(slope) - float(exact)) <= 3 * float(noise) + 1e-9 * abs(float(exact))


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Flatten(), nn.Linear(12, 4))  # fmt: skip
    target = network_target(net, (1, 6, 6), "softmax", None, torch.float64, 3)
    target.problem.start()
    for name, leaf in target.problem.leaves.items():
        many, single = Differences(target.problem), Differences(target.problem, batched=False)
        places = torch.arange(leaf.numel())
        steps = 1e-5 * scales(leaf).flatten()
        fast, _ = many.along(name, steps, places)
        slow, noise = single.along(name, steps, places)
        assert many.batched is (leaf.numel() > 1 or None)
        assert float((fast - slow).abs().max()) <= 40 * float(noise.max()) + 1e-12


def test_a_function_that_cannot_be_batched_falls_back() -> None:
    def function(x: Tensor) -> Tensor:
        return x.sum() if x.sum().item() > 0 else -x.sum()

    differences = Differences(problem_of(function, 1.0, 1.0, 1.0))
    slope, _ = differences.along("x", torch.full((3,), 1e-6), torch.arange(3))
    assert differences.batched is False
    assert torch.allclose(slope, torch.ones(3, dtype=torch.float64), atol=1e-8)


def test_longer_steps_only_where_the_function_stays_straight() -> None:
    straight = Differences(problem_of(lambda x: (3 * x).sum(), 1.0, 2.0))
    bent = Differences(problem_of(lambda x: (100 * x).sin().sum(), 1.0, 2.0))
    assert (straight.boost("x"), bent.boost("x")) == (100.0, 1.0)


def test_the_bend_is_the_distance_of_both_halves() -> None:
    problem = problem_of(lambda x: x.abs().sum(), 0.25)
    differences = Differences(problem, base=problem.evaluate(problem.leaves))
    change, _, bend = differences.bent({"x": torch.tensor([1.0], dtype=torch.float64)})
    assert change == pytest.approx(1.25 - 0.75)
    assert bend == pytest.approx(1.25 + 0.75 - 2 * 0.25)


def test_small_helpers() -> None:
    leaf = torch.zeros(2, 3)
    assert one_hot(leaf, 4, 2.5).tolist() == [[0, 0, 0], [0, 2.5, 0]]
    assert ladder(1e-6, 1e-6)[0] == 1e-6
    assert all(h > 0 for h in ladder(1e-300, 1e-3))
