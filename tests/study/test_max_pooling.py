"""Max-pooling: the error at a kink in closed form, costs by hand, a pool written as loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chainrule.study.experiments import max_pooling as tested
from chainrule.study.experiments.max_pooling import Setup
from chainrule.study.lesson import digits, net


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.5, 0.9])
def test_error_at_a_kink_in_closed_form(gap: float) -> None:
    # from b + gap h: (b + gap h + h - b) / 2h is the slope that the difference finds
    found = tested.error_near_tie(Setup(), gap * 1e-5, 0)
    expected = 1 - (1 + gap) / 2 if gap else 1.0  # a tie: the first input gets all
    assert found == pytest.approx(expected, abs=1e-6)


def test_no_error_away_from_it() -> None:
    assert tested.error_near_tie(Setup(), 2e-5, 0) < 1e-9


def test_costs_by_hand() -> None:
    convolution, pool = tested.counted(Setup())
    places = 32 * 32 * 16
    assert convolution.flops == 2 * places * 9 * 16
    assert convolution.backward_flops == 2 * convolution.flops  # to the weights and to the input
    assert pool.flops == pool.backward_flops == places
    # float32 read and written, and an int64 index for each output
    assert pool.moved_bytes == 4 * places + (4 + 8) * places // 4


@pytest.mark.parametrize("pool", ["POOL2", "AVGPOOL2"])
def test_both_ends_written_as_loops(pool: str) -> None:
    module = net(f"CONV3-2, RELU, {pool}, FC-10", 0).double()
    material = digits(3)
    ((before, after),) = tested._ends(module, material.inputs.double(), material.targets)
    assert before.grad is not None
    assert after.grad is not None
    values, back = before.detach().numpy(), np.zeros(before.shape)
    for place in np.ndindex(*after.shape):
        n, c, row, column = place
        window = (n, c, slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
        share = np.full((2, 2), 0.25)
        if pool == "POOL2":
            share = np.zeros((2, 2))
            share.flat[values[window].argmax()] = 1
        back[window] += share * float(after.grad[place])
        assert after[place].item() == pytest.approx((share * values[window]).sum())
    np.testing.assert_allclose(before.grad.numpy(), back, atol=1e-15)


def test_what_is_compared() -> None:
    before, after = torch.tensor([3.0, 1.0]), torch.tensor([2.0])
    before.grad, after.grad = torch.tensor([3.0, 4.0]), torch.tensor([10.0])
    found = tested._compare(before, after, torch.tensor([8.0]))
    assert (found.norm, found.total) == pytest.approx((0.5, 0.3))
    assert (found.share, found.growth) == pytest.approx((2 / 3, 4.0))
