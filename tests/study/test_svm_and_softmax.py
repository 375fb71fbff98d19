"""SVM and softmax: loss and gradient of one example in closed form, shares counted one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.reference import nn_losses

from chainrule.study.experiments import svm_and_softmax as tested
from chainrule.study.lesson import generator


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.5, 10.0])
def test_one_example_in_closed_form(gap: float) -> None:
    value, norm = tested.one_example("svm", gap, 10)
    short = max(0.0, 1 - gap)
    assert value == pytest.approx(9 * short)
    assert norm == pytest.approx(math.sqrt(9**2 + 9) if short else 0.0)
    value, norm = tested.one_example("softmax", gap, 10)
    other = math.exp(-gap) / (1 + 9 * math.exp(-gap))
    assert value == pytest.approx(math.log1p(9 * math.exp(-gap)), rel=1e-5, abs=1e-6)
    assert norm == pytest.approx(math.sqrt((9 * other) ** 2 + 9 * other**2), rel=1e-5, abs=1e-6)


def test_where_float32_ends() -> None:
    smallest = 2.0**-149
    assert tested.one_example("softmax", 102.0, 10)[1] >= smallest
    assert tested.one_example("softmax", 105.0, 10) == (0.0, 0.0)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_shares_counted_one_by_one(scale: float) -> None:
    scores = scale * torch.randn(40, 4, generator=generator(0))
    targets = scores.argmax(1)
    losses = nn_losses.svm(scores.double().numpy(), targets.numpy())
    expected = float(np.mean(losses == 0))
    assert 0 < expected < 1
    assert tested.without_gradient("svm", scores, targets) == pytest.approx(expected)
    assert tested.without_gradient("softmax", scores, targets) == 0


def test_share_of_softmax_where_all_is_far() -> None:
    scores = torch.tensor([[150.0, 0.0], [3.0, 0.0]])
    assert tested.without_gradient("softmax", scores, torch.tensor([0, 0])) == 0.5
