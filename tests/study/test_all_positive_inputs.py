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
def test_descent_by_its_closed_form(lift: float) -> None:
    """w_t = w* - (I - rate H)^t w*, for a start at 0 and H the mean of x x^T."""
    places, inputs, _ = zigzag(lift, steps=9)
    x = inputs.double().numpy()
    hessian = x.T @ x / len(x)
    shrink = np.eye(2) - 1.8 / np.linalg.eigvalsh(hessian)[-1] * hessian
    best = np.array([1.0, -1.0])
    for t, place in enumerate(places):
        expected = best - np.linalg.matrix_power(shrink, t) @ best
        np.testing.assert_allclose(place, expected, atol=1e-5)
