"""Zero weights: two updates by hand in NumPy, and the counting of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from chainrule.nn.weighted import weighted_layers
from chainrule.study.experiments.zero_weights import distinct_rows, from_zero, one_direction
from chainrule.study.lesson import digits, fit


def test_two_updates_from_zero_weights() -> None:
    module, material = from_zero("FC-6, TANH, FC-10", 0.5, 3), digits(50)
    first, second = (layer for _, layer in weighted_layers(module))
    assert first.bias is not None
    assert second.bias is not None
    b1, b2 = (bias.detach().double().numpy() for bias in (first.bias, second.bias))
    w1, w2 = _by_hand(material.inputs.flatten(1).double().numpy(), material.targets.numpy(), b1, b2)
    fit(module, material, steps=2, seed=0, batch=50, rate=0.2)
    np.testing.assert_allclose(first.weight.detach().numpy(), w1, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(second.weight.detach().numpy(), w2, rtol=1e-3, atol=1e-6)
    assert one_direction(first.weight.detach()) > 99.999


def _by_hand(x: Any, y: Any, b1: Any, b2: Any) -> tuple[Any, Any]:
    """W1 and W2 after two updates with rate 0.2: the first moves W2 alone, the second both."""
    w1, w2 = np.zeros((len(b1), x.shape[1])), np.zeros((len(b2), len(b1)))
    for _ in range(2):
        h = np.tanh(x @ w1.T + b1)
        scores = h @ w2.T + b2
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        back = (p @ w2) * (1 - h**2)
        w1, b1 = w1 - 0.2 * back.T @ x, b1 - 0.2 * back.sum(0)
        w2, b2 = w2 - 0.2 * p.T @ h, b2 - 0.2 * p.sum(0)
    return w1, w2


def test_distinct_rows_one_by_one() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1e-9], [0.0, 2.0], [0.0, 0.0]])
    assert distinct_rows(weight) == len(np.unique(weight.numpy().round(6), axis=0)) == 3
    assert distinct_rows(torch.zeros(4, 3)) == 1


def test_equal_biases_leave_units_equal() -> None:
    module = from_zero("FC-6, TANH, FC-10", 0.5, None)
    fit(module, digits(50), steps=20, seed=0, batch=50, rate=0.2)
    weight = next(layer for _, layer in weighted_layers(module)).weight.detach()
    assert float(weight.norm()) > 1e-3
    assert float((weight - weight[0]).abs().max()) < 1e-6
