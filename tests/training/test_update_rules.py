"""Every update rule agrees with its formula, computed by hand in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import update_rules as twins
from torch import nn

from chainrule.training.recipe import Recipe
from chainrule.training.update_rules import LEARNING_RATES, build_optimizer

START = np.array([1.0, -2.0, 0.5])
SCALE = np.array([1.0, 0.25, 3.0])  # of the quadratic bowl 1/2 sum(scale * w^2)
RATE = 0.1


def _chainrule_steps(rule: str, steps: int, decay: float = 0.0) -> np.ndarray:
    w = nn.Parameter(torch.tensor(START))
    recipe = Recipe(update_rule=rule, learning_rate=RATE, weight_decay=decay)
    optimizer = build_optimizer(recipe, [w], [])
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (torch.tensor(SCALE) * w**2).sum()).backward()
        optimizer.step()
    return w.detach().numpy()


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("rule", sorted(twins.RULES))
def test_steps_agree_with_the_formula(rule: str, steps: int) -> None:
    expected = twins.RULES[rule](START, lambda w: SCALE * w, RATE, steps)
    np.testing.assert_allclose(_chainrule_steps(rule, steps), expected, rtol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_adamw_decays_apart_from_the_gradient(steps: int) -> None:
    expected = twins.adamw(START, lambda w: SCALE * w, RATE, steps, decay=0.3)
    np.testing.assert_allclose(_chainrule_steps("adamw", steps, decay=0.3), expected, rtol=1e-7)


@pytest.mark.parametrize("rule", sorted(twins.RULES))
def test_l2_adds_lambda_w_to_the_gradient(rule: str) -> None:
    decay = 0.3
    expected = twins.RULES[rule](START, lambda w: SCALE * w + decay * w, RATE, 2)
    np.testing.assert_allclose(_chainrule_steps(rule, 2, decay), expected, rtol=1e-7)


def test_the_referee_tells_rules_apart() -> None:
    results = {rule: _chainrule_steps(rule, 2) for rule in twins.RULES}
    for rule, other in [("sgd", "momentum"), ("momentum", "nesterov"), ("rmsprop", "adam")]:
        assert np.abs(results[rule] - results[other]).max() > 1e-3


def test_every_rule_has_a_usual_learning_rate() -> None:
    assert set(LEARNING_RATES) == {*twins.RULES, "adamw"}


def test_only_the_regularized_group_decays() -> None:
    touched, left_alone = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = build_optimizer(
        Recipe(update_rule="sgd", learning_rate=0.1, weight_decay=0.5), [touched], [left_alone]
    )
    touched.grad, left_alone.grad = torch.zeros(1), torch.zeros(1)
    optimizer.step()
    assert touched.item() == pytest.approx(0.95)
    assert left_alone.item() == 1.0
