"""Centred differences: against closed forms, and kinks against counting them one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chainrule.study.experiments import centred_differences as subject
from chainrule.study.experiments import differences
from chainrule.study.experiments.differences import Place


@pytest.mark.parametrize("step", [0.5, 1e-2])
def test_differences_of_the_exponential(step: float) -> None:
    assert differences.forward(math.exp, step) == pytest.approx(math.expm1(step) / step)
    assert differences.centred(math.exp, step) == pytest.approx(math.sinh(step) / step)


def test_order_of_known_errors() -> None:
    steps = [1e-2, 1e-3, 1e-4]
    errors = [math.sinh(step) / step - 1 for step in steps]
    assert differences.order(steps, errors) == pytest.approx(2, abs=1e-3)


def test_gradient_and_loss_of_a_place_by_hand() -> None:
    place = Place("FC-10", 16, torch.float64, 0)
    weights, biases = (p.detach().numpy() for p in place.module.parameters())
    scores = place.inputs.numpy() @ weights.T + biases
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    right = np.eye(10)[place.targets.numpy()]
    bias = list(place.module.parameters())[1]
    assert place.along(bias, 3)(0.0) == pytest.approx(-np.log((shares * right).sum(1)).mean())
    assert place.gradient(bias, 3) == pytest.approx((shares - right).mean(0)[3])


def test_before_a_kink_a_quarter_of_the_bend_is_added() -> None:
    place, step = Place("FC-16, RELU, FC-10", 16, torch.float64, 1), 1e-5
    for unit, distance in subject._drawn_kinks(place, 3, 1):
        ahead, both, true, at, mean = subject._near(place, unit, distance, step)
        left, right = (
            place.gradient(place.first.bias, unit, distance + side) for side in (-1e-6, 1e-6)
        )
        assert true == pytest.approx(left, abs=1e-5)
        assert ahead == pytest.approx((left + right) / 2, abs=1e-5)
        assert both == pytest.approx(left + (right - left) / 4, abs=1e-5)
        assert at == pytest.approx((left + right) / 2, abs=1e-6)
        assert mean == pytest.approx((left + right) / 2, abs=1e-9)
        assert abs(right - left) > 1e-4  # or nothing has been tested


def test_crossings_one_by_one() -> None:
    place, step = Place("FC-3, RELU, FC-10", 4, torch.float64, 0), 0.1
    weights, biases = (p.detach().numpy() for p in place.first.parameters())
    inputs = place.inputs.numpy()
    ahead = both = 0
    for unit, pixel, example in np.ndindex(3, 64, 4):
        moved = [weights[unit].copy() for _ in range(3)]
        moved[0][pixel] -= step
        moved[2][pixel] += step
        on = [inputs[example] @ row + biases[unit] > 0 for row in moved]
        ahead += on[1] != on[2]
        both += on[0] != on[2]
    found = differences.crossings(place.first, place.inputs, step)
    assert found == (ahead, both)
    assert 0 < ahead < both


def test_parameters_are_put_back() -> None:
    place = Place("FC-10", 16, torch.float64, 0)
    before = [p.clone() for p in place.module.parameters()]
    place.along(place.first.bias, 2)(0.3)
    place.gradient(place.first.bias, 2, 0.3)
    assert all(map(torch.equal, before, place.module.parameters()))
