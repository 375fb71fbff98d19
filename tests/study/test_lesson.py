"""The small training of the experiments is the textbook's, and leaves what it looks at alone."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chainrule.study.lesson import (
    Material,
    accuracy_of,
    digits,
    fit,
    generator,
    loss_of,
    net,
    smoothed,
)


def _order(count: int, batch: int, steps: int, seed: int) -> list[torch.Tensor]:
    """Minibatches epoch by epoch; what does not fill one is left out."""
    random, found = generator(seed), []
    while len(found) < steps:
        order = torch.randperm(count, generator=random)
        found += [order[start : start + batch] for start in range(0, count - batch + 1, batch)]
    return found[:steps]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_descent_by_hand(decay: float) -> None:
    material = digits(100, 3)
    found = fit(net("FC-8, TANH, FC-10", 1), material, steps=9, seed=5, batch=32, rate=0.2,
                weight_decay=decay)  # fmt: skip
    module = net("FC-8, TANH, FC-10", 1)
    losses = []
    for chosen in _order(100, 32, 9, 5):
        data = F.cross_entropy(module(material.inputs[chosen]), material.targets[chosen])
        weights = [p for name, p in module.named_parameters() if name.endswith("weight")]
        full = data + decay / 2 * sum((weight**2).sum() for weight in weights)
        losses.append(float(full.detach()))
        gradients = torch.autograd.grad(full, list(module.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                parameter -= 0.2 * gradient
    assert found.losses == pytest.approx(losses, rel=1e-5)
    for one, two in zip(found.module.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_trains_in_training_mode() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).eval()
    fit(module, digits(64), steps=2, seed=0)
    assert int(module[1].num_batches_tracked) == 2


def test_looking_puts_the_mode_back_and_uses_no_dropout() -> None:
    material = digits(50)
    for training in (True, False):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout(0.5)).train(training)
        values = {loss_of(module, material.inputs, material.targets) for _ in range(3)}
        assert len(values) == 1
        assert 0 <= accuracy_of(module, material.inputs, material.targets) <= 1
        assert module.training == training


def test_stops_where_the_loss_is_no_longer_finite() -> None:
    found = fit(net("FC-10", 0), digits(64), steps=200, seed=0, rate=1e38)
    assert found.diverged
    assert len(found.losses) < 200
    assert not math.isfinite(found.losses[-1])


def test_watches_before_each_update_and_changes_minibatches() -> None:
    seen, changed = [], []
    module = net("FC-10", 0)
    first = next(module.parameters()).detach().clone()

    def watch(step: int, watched: nn.Module) -> None:
        weight = next(watched.parameters())
        seen.append((step, weight.grad is not None, torch.equal(weight, first)))

    def change(inputs: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        changed.append(inputs.shape)
        return inputs

    fit(module, digits(64), steps=3, seed=0, batch=16, watch=watch, change=change)
    assert [step for step, _, _ in seen] == [0, 1, 2]
    assert all(graded for _, graded, _ in seen)
    assert [same for _, _, same in seen] == [True, False, False]
    assert changed == [(16, 1, 8, 8)] * 3


def test_digits_are_drawn_and_the_held_back_never_change() -> None:
    whole = digits()
    assert len(whole.inputs) == 1257
    assert len(whole.held_inputs) == 360
    few = digits(40, 2)
    assert torch.equal(few.held_inputs, whole.held_inputs)
    assert torch.equal(few.inputs, digits(40, 2).inputs)
    assert not torch.equal(few.inputs, digits(40, 3).inputs)
    assert isinstance(few.flat(), Material)
    assert few.flat().inputs.shape == (40, 64)


def test_smoothed_is_a_running_mean() -> None:
    values = [float(value**2 % 7) for value in range(30)]
    for place, value in enumerate(smoothed(values, 5)):
        window = values[max(0, place - 4) : place + 1]
        assert value == pytest.approx(sum(window) / len(window))
