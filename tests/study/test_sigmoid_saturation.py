"""Sigmoid saturation: the same numbers in NumPy, and the closed form of large weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from chainrule.nn.weighted import weighted_layers
from chainrule.study.experiments.sigmoid_saturation import local_gradient, look, scaled
from chainrule.study.lesson import digits, net


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("which", ["first", "all"])
def test_one_look_by_hand(which: str) -> None:
    module = scaled(net("FC-12, SIGMOID, FC-10", 1), which, 8.0)
    material = digits(40)
    found = look(module, material)
    (w1, b1), (w2, b2) = (
        (layer.weight.detach().double().numpy(), bias.detach().double().numpy())
        for _, layer in weighted_layers(module)
        if (bias := layer.bias) is not None
    )
    x = material.inputs.flatten(1).double().numpy()
    a = _sigmoid(x @ w1.T + b1)
    scores = a @ w2.T + b2
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    p[np.arange(40), material.targets.numpy()] -= 1
    gradient = ((p / 40) @ w2 * a * (1 - a)).T @ x
    assert found.gradient == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    assert found.saturated == pytest.approx(100 * np.mean(np.abs(a - 0.5) > 0.49), abs=1e-6)
    assert found.local == pytest.approx(math.sqrt(np.mean((a * (1 - a)) ** 2)), rel=1e-4)


def test_only_what_is_named_is_scaled() -> None:
    before, after = net("FC-4, SIGMOID, FC-3", 0), scaled(net("FC-4, SIGMOID, FC-3", 0), "first", 5)
    ratios = [
        float((b / a).detach().mean())
        for a, b in zip(before.parameters(), after.parameters(), strict=True)
    ]
    assert ratios == pytest.approx([5, 1, 1, 1])


def test_slope_against_differences() -> None:
    places = torch.linspace(-6, 6, 25, dtype=torch.float64)
    wide = (torch.sigmoid(places + 1e-5) - torch.sigmoid(places - 1e-5)) / 2e-5
    torch.testing.assert_close(local_gradient(places), wide, rtol=1e-6, atol=1e-10)


def test_local_gradient_falls_with_the_root_of_the_scale() -> None:
    """E[s'(z)^2] for z normal of std d is 1/(6 d sqrt(2 pi)) for large d: the integral is 1/6."""
    inputs = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slopes = local_gradient(30 * inputs)
    law = 1 / (6 * 30 * math.sqrt(2 * math.pi))
    assert float(slopes.square().mean()) == pytest.approx(law, rel=0.05)
