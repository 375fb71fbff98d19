"""ReLU speed: the steps of one run, counted by a plain loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from chainrule.study.experiments.relu_speed import Case, Setup, steps_to
from chainrule.study.lesson import accuracy_of, digits, fit, net

SETUP = Setup(shallow="FC-16, ACTIVATION, FC-10", probe=64, limit=60)


@pytest.mark.parametrize("activation", ["RELU", "TANH"])
def test_steps_by_a_plain_loop(activation: str) -> None:
    """Descent by hand on the minibatches in the order of the seed."""
    steps, error = steps_to(SETUP, Case("shallow", "default", activation), 0.3, 5, SETUP.limit)
    module, material, probe = net(f"FC-16, {activation}, FC-10", 5), digits(), digits(64, 5)
    order = torch.randperm(len(material.inputs), generator=torch.Generator().manual_seed(5))
    count = 0
    while accuracy_of(module, probe.inputs, probe.targets) < 0.75:
        chosen = order[64 * count : 64 * count + 64]
        loss = torch.nn.functional.cross_entropy(
            module(material.inputs[chosen]), material.targets[chosen]
        )
        gradients = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                parameter.sub_(0.3 * gradient)
        count += 1
    assert 1 < count < 19  # within the first epoch, whose order is known here
    assert steps == count
    assert error == pytest.approx(100 * (1 - accuracy_of(module, probe.inputs, probe.targets)))


def test_what_does_not_get_there_counts_with_the_limit() -> None:
    steps, error = steps_to(SETUP, Case("shallow", "default", "SIGMOID"), 1e-6, 0, 3)
    assert steps == SETUP.limit
    assert error > 25


def test_no_step_is_needed_where_any_error_will_do() -> None:
    easy = replace(SETUP, error=100.0)
    assert steps_to(easy, Case("shallow", "he", "RELU"), 0.1, 0, 5)[0] == 0


def test_watch_ends_the_training_before_the_update() -> None:
    module = net("FC-10", 0)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    found = fit(module, digits(64), steps=5, seed=0, rate=1.0, watch=lambda *_: True)
    assert len(found.losses) == 1
    assert all(map(torch.equal, before, module.parameters()))
