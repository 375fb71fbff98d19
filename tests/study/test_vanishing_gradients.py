"""Vanishing gradients: norms by hand in NumPy, and gains by their closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chainrule.study.experiments.vanishing_gradients import layer_gain, signals, slope
from chainrule.study.lesson import digits, net

F: dict[str, Any] = {
    "TANH": np.tanh,
    "RELU": lambda z: np.maximum(z, 0),
    "SIGMOID": lambda z: 1 / (1 + np.exp(-z)),
}
SLOPE: dict[str, Any] = {
    "TANH": lambda z: 1 - np.tanh(z) ** 2,
    "RELU": lambda z: (z > 0) * 1.0,
    "SIGMOID": lambda z: F["SIGMOID"](z) * (1 - F["SIGMOID"](z)),
}


@pytest.mark.parametrize("name", F)
def test_norms_and_gains_by_hand(name: str) -> None:
    module, material = net(f"[FC-9, {name}] x 3, FC-10", 2), digits(20)
    found = signals(module, material)
    layers = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in module.children()
        if isinstance(layer, nn.Linear)
    ]
    a, inputs = material.inputs.flatten(1).double().numpy(), []
    for weight, bias in layers:
        inputs.append(a @ weight.T + bias)
        a = F[name](inputs[-1])
    back = np.exp(inputs[-1]) / np.exp(inputs[-1]).sum(1, keepdims=True)
    back[np.arange(20), material.targets.numpy()] -= 1
    back /= 20
    norms: list[float] = []
    gains: list[float] = []
    for place in (2, 1, 0):
        weight, slopes = layers[place + 1][0], SLOPE[name](inputs[place])
        back = back @ weight * slopes
        norms.insert(0, float(np.linalg.norm(back)))
        gains.insert(0, np.sqrt(weight.shape[1] * np.mean(weight**2) * np.mean(slopes**2)))
    np.testing.assert_allclose(np.array(found.norms), norms, rtol=1e-9)
    np.testing.assert_allclose(np.array(found.gains), gains[:-1], rtol=1e-9)
    assert found.ratio == pytest.approx(norms[0] / norms[-1])


@pytest.mark.parametrize(
    ("activation", "variance", "gain"),
    [(nn.ReLU(), 2.0, 1.0), (nn.ReLU(), 1.0, 0.5**0.5), (nn.ReLU(), 1 / 3, (1 / 6) ** 0.5)],
)
def test_gain_of_known_initializations(activation: nn.Module, variance: float, gain: float) -> None:
    """He, Xavier and PyTorch's default in square layers: var(W) n = 2, 1 and 1/3."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(300, 300, generator=random, dtype=torch.float64) * (variance / 300) ** 0.5
    inputs = torch.randn(400, 300, generator=random, dtype=torch.float64)
    assert layer_gain(weight, slope(activation, inputs)) == pytest.approx(gain, rel=0.02)
