"""Dead ReLU: each quantity a second time, by loops and by closed forms."""

from __future__ import annotations

import pytest
import torch

from chainrule.nn.weighted import weighted_layers
from chainrule.study.experiments.dead_relu import dead_share, largest_gradients, lower
from chainrule.study.lesson import digits, fit, net


def _first(module: torch.nn.Module) -> torch.nn.Linear:
    layer = next(layer for _, layer in weighted_layers(module))
    assert isinstance(layer, torch.nn.Linear)
    return layer


def test_lowered_units_are_just_below_zero() -> None:
    module, material = net("FC-8, RELU, FC-10", 0), digits(60)
    layer = _first(module)
    before = layer.bias.detach().clone()
    lower(module, layer, material, slice(0, 3), 0.05)
    x, weight, bias = material.inputs.flatten(1), layer.weight.detach(), layer.bias.detach()
    for unit in range(3):
        inputs = [float(weight[unit] @ one + bias[unit]) for one in x.unbind()]
        assert max(inputs) == pytest.approx(-0.05, abs=1e-5)
    assert torch.equal(bias[3:], before[3:])


@pytest.mark.parametrize(("activation", "slope"), [("RELU", 0.0), ("LRELU(0.1)", 0.1)])
def test_gradient_is_upstream_times_slope_times_input(activation: str, slope: float) -> None:
    module, material = net(f"FC-8, {activation}, FC-10", 1), digits(60)
    layer, last = (one for _, one in weighted_layers(module))
    lower(module, layer, material, slice(0, 2), 0.05)
    found = largest_gradients(module, layer, material)
    probabilities = torch.softmax(module(material.inputs).detach(), 1)
    wrong = probabilities - torch.nn.functional.one_hot(material.targets, 10)
    for unit in range(2):
        back = slope * (wrong @ last.weight[:, unit]).detach() / 60
        weights = (back[:, None] * material.inputs.flatten(1)).sum(0).abs().max()
        expected = max(float(weights), float(back.sum().abs()))
        assert float(found[unit]) == pytest.approx(expected, rel=1e-4, abs=0)
    assert float(found[2:].min()) > 0


def test_dead_share_counts_units_one_by_one() -> None:
    module, material = net("FC-8, RELU, FC-10", 2), digits()
    layer = _first(module)
    lower(module, layer, material, slice(0, 2), 1.0)
    inputs = (material.inputs.flatten(1) @ layer.weight.T + layer.bias).detach()
    dead = sum(all(float(value) <= 0 for value in column) for column in inputs.T)
    assert dead >= 2
    assert dead_share(module, material) == pytest.approx(100 * dead / 8)
    assert dead_share(net("FC-8, LRELU, FC-10", 2), material) == 0


def test_dead_weights_stay_bit_for_bit() -> None:
    module, material = net("FC-8, RELU, FC-10", 3), digits()
    layer = _first(module)
    lower(module, layer, material, slice(0, 2), 0.05)
    before = layer.weight.detach().clone()
    fit(module, material, steps=30, seed=0, rate=0.2)
    assert torch.equal(layer.weight[:2], before[:2])
    assert not torch.equal(layer.weight[2:], before[2:])
