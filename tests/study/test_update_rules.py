"""Update rules: the race against torch.optim and a clock by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from chainrule.study.experiments import update_rules as lesson
from chainrule.study.lesson import digits, generator, net

_SETUP = lesson.Setup(network="FC-8, RELU, FC-10", window=1)
_OPTIM = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.05),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
}


@pytest.mark.parametrize("rule", lesson._FAMILIES)
def test_training_is_that_of_torch_optim(rule: str) -> None:
    module, material, losses = net(_SETUP.network, 1), digits(), []
    optimizer = _OPTIM[rule](module.parameters())
    order = torch.randperm(len(material.inputs), generator=generator(1))
    for start in range(0, 4 * _SETUP.batch, _SETUP.batch):
        chosen = order[start : start + _SETUP.batch]
        loss = functional.cross_entropy(module(material.inputs[chosen]), material.targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert lesson._train(_SETUP, rule, 0.05, 4, 1)[0] == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize(("wanted", "steps"), [(2.5, 3), (1.5, 4), (0.5, 5), (4.0, 2)])
def test_steps_to_a_loss(wanted: float, steps: float) -> None:
    """A whole window of two; at most five."""
    assert lesson.steps_to([4.0, 3.0, 2.0, 1.0, 0.9, 0.1], wanted, 2, 5) == steps


def test_every_ratio_is_of_the_same_seed() -> None:
    race = {
        "sgd": lesson._Raced(0.1, [], [10.0, 30.0], []),
        "adam": lesson._Raced(0.1, [], [5.0, 10.0], []),
    }
    assert lesson._ratios(race, "adam") == [2.0, 3.0]
