"""All-positive inputs: gradients example by example, signs by loops, the path by its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chainrule.nn.weighted import weighted_layers
from chainrule.study.experiments.all_positive_inputs import (
    Setup,
    example_gradients,
    material,
    one_signed,
    zigzag,
)
from chainrule.study.lesson import digits, net


def test_positive_and_centred_inputs_differ_by_a_shift() -> None:
    setup = Setup(examples=50)
    positive, centred = material(setup, 1.0, 0), material(setup, 0.0, 0)
    pixels = digits().inputs.flatten(1)
    assert float(positive.inputs.min()) == 0
    shift = positive.inputs - centred.inputs
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-5)
    torch.testing.assert_close(shift[0], pixels.mean(0) - pixels.min(), rtol=0, atol=1e-5)


def test_gradients_one_example_after_the_other() -> None:
    some = material(Setup(examples=12), 1.0, 0)
    module = net("FC-5, TANH, FC-10", 0, (64,))
    weight = next(layer for _, layer in weighted_layers(module)).weight
    found = example_gradients(module, some)
    for row, x, y in zip(found, some.inputs, some.targets, strict=True):
        loss = torch.nn.functional.cross_entropy(module(x[None]), y[None])
        (slow,) = torch.autograd.grad(loss, weight)
        torch.testing.assert_close(row, slow, rtol=1e-4, atol=1e-6)
        same = [len({float(v) > 0 for v in unit if float(v) != 0}) <= 1 for unit in slow]
        assert all(same)
        assert one_signed(slow) == 100


def test_signs_by_loops() -> None:
    rows = torch.tensor([[1.0, 0.0, 2.0], [-1.0, -3.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    assert one_signed(rows) == 75


@pytest.mark.parametrize("lift", [0.0, 1.0])
def test_descent_one_example_after_the_other(lift: float) -> None:
    """w - w* is multiplied by I - rate x x^T in each step, for a start at 0."""
    places, inputs, _ = zigzag(lift, steps=9)
    x, best = inputs.double().numpy(), np.array([1.0, -1.0])
    rate, left = 1.5 / (x**2).sum(1).max(), -best
    for t, place in enumerate(places):
        np.testing.assert_allclose(place, best + left, atol=1e-5)
        row = x[t % len(x)]
        left = left - rate * row * (row @ left)


def test_the_path_of_positive_inputs_goes_up_or_down_in_both_weights() -> None:
    ways = {lift: np.diff(np.array(zigzag(lift)[0]), axis=0) for lift in (0.0, 1.0)}
    products = {lift: way[:, 0] * way[:, 1] for lift, way in ways.items()}
    assert (products[1.0] >= 0).all()
    assert (products[0.0] < 0).any()
