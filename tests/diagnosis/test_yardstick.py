"""The yardstick against NumPy: loss, error and skill by the textbook."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.distributions import Categorical

from chainrule.diagnosis.losses import LOSS_KINDS, LossCall
from chainrule.diagnosis.replaying.minibatch import Minibatch
from chainrule.diagnosis.replaying.scout import Scout
from chainrule.diagnosis.replaying.yardstick import Yardstick, yardstick_of
from chainrule.diagnosis.taps import Taps


def stick(targets: Tensor, task: str, **options: object) -> Yardstick:
    found = Yardstick([Minibatch((targets,), {}, targets)], task=task)
    for name, value in options.items():
        setattr(found, name, value)
    return found


def test_numbers_are_measured_against_their_variance() -> None:
    rng = np.random.default_rng(0)
    target, answer = rng.normal(3, 2, (50, 2)), rng.normal(3, 2, (50, 2))
    wanted = ((answer - target) ** 2).mean() / ((target - target.mean(0)) ** 2).mean()
    loss, error, skill = stick(torch.tensor(target), "numbers").measure(
        lambda _item: torch.tensor(answer)
    )
    assert loss == pytest.approx(wanted)
    assert skill == pytest.approx(max(-1, 1 - wanted))
    assert error is None


def test_the_constant_predictor_has_no_skill_and_the_truth_has_all() -> None:
    target = torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    found = stick(target, "numbers")
    assert found.measure(lambda _: target.mean().expand(40, 1))[2] == pytest.approx(0, abs=1e-6)
    assert found.measure(lambda _: target)[2] == 1.0
    labels = torch.tensor([0] * 10 + [1] * 10 + [2] * 10)
    classes = stick(labels, "classes")
    assert classes.measure(lambda _: torch.zeros(30, 3))[2] == pytest.approx(0, abs=1e-6)
    sure = 50.0 * torch.nn.functional.one_hot(labels, 3)
    assert classes.measure(lambda _: sure)[2] == pytest.approx(1, abs=1e-6)


def settled(scores: np.ndarray, labels: np.ndarray) -> float:
    """The slow way: a general minimizer looks for the offsets, at each temperature."""

    def loss(offsets: np.ndarray, cooler: float) -> float:
        z = scores / cooler + offsets
        z = z - z.max(1, keepdims=True)
        logs = z - np.log(np.exp(z).sum(1, keepdims=True))
        return float(-logs[np.arange(len(labels)), labels].mean())

    start = np.zeros(scores.shape[1])
    return min(
        minimize(loss, start, args=(cooler,)).fun
        for cooler in (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 50.0, 200.0)
    )


@pytest.mark.parametrize("moved", [0.0, 3.0])
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_classes_by_hand(moved: float, size: float) -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice(4, 200, p=[0.55, 0.15, 0.15, 0.15])
    scores = size * (rng.normal(size=(200, 4)) + 1.5 * np.eye(4)[labels] + moved * np.eye(4)[2])
    recalls = [(scores[labels == k].argmax(1) == k).mean() for k in range(4)]
    error = 1 - np.mean(recalls)
    shares = np.bincount(labels) / 200
    entropy = -(shares * np.log(shares)).sum()
    loss = settled(scores, labels)
    skill = ((1 - error / (1 - 1 / 4)) + (1 - loss / entropy)) / 2
    found = stick(torch.tensor(labels), "classes").measure(lambda _: torch.tensor(scores))
    # offsets are looked for in few rounds at each temperature: near to the best, never below it
    assert found == pytest.approx((loss, error, skill), rel=2e-3)
    assert found[0] >= loss - 1e-6


def test_how_often_a_class_is_named_is_no_part_of_the_loss() -> None:
    """Classes weighted by the inverse of their frequency move all answers towards the rare one."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(400, generator=generator) < 0.05).long()
    scores = torch.randn(400, generator=generator).double() + 2.5 * labels
    bare = torch.stack([torch.zeros(400).double(), scores - 4], 1)
    fair = bare + torch.tensor([0.0, 3.0])
    one, two = (stick(labels, "classes").measure(lambda _, s=s: s) for s in (bare, fair))
    assert one[0] == pytest.approx(two[0], rel=1e-3)
    assert two[2] > one[2] + 0.15


def test_probabilities_and_scores_are_the_same_answer() -> None:
    labels = torch.tensor([0, 1, 2, 1, 0, 2])
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    found = stick(labels, "classes")
    assert found.measure(lambda _: scores) == pytest.approx(
        found.measure(lambda _: scores.softmax(1)), rel=1e-5
    )
    binary = stick(torch.tensor([0.0, 1, 1, 0]), "binary", classes=(0.0, 1.0))
    logits = torch.tensor([-1.0, 2, 0.5, 3])
    assert binary.measure(lambda _: logits) == pytest.approx(
        binary.measure(lambda _: logits.sigmoid()), rel=1e-5
    )


def test_being_too_sure_is_no_failure_to_learn() -> None:
    labels = torch.tensor([0, 1] * 20)
    scores = torch.nn.functional.one_hot(labels, 2).float()
    scores[:2] = scores[:2].flip(1)  # two wrong answers
    found = stick(labels, "classes")
    calm, sure = found.measure(lambda _: scores), found.measure(lambda _: 1000 * scores)
    assert sure[2] == pytest.approx(calm[2], abs=0.35)
    assert sure[2] > 0.3


def test_what_is_not_finite_has_the_lowest_skill() -> None:
    labels = torch.tensor([0, 1] * 5)
    assert stick(labels, "classes").measure(lambda _: torch.full((10, 2), math.nan))[2] == -1.0
    target = torch.randn(10)
    assert stick(target, "numbers").measure(lambda _: target * math.nan)[2] == -1.0


@pytest.mark.parametrize(
    ("function", "given", "target", "task"),
    [
        ("cross_entropy", torch.randn(8, 3), torch.randint(3, (8,)), "classes"),
        ("mse_loss", torch.randn(8, 1), torch.randn(8, 1), "numbers"),
        ("mse_loss", torch.randn(8, 1), torch.tensor([0.0, 1, 2, 3] * 2)[:, None], "whole numbers"),
        ("mse_loss", torch.randn(8, 3), torch.eye(3)[torch.randint(3, (8,))], "shares"),
        (
            "binary_cross_entropy_with_logits", torch.randn(8, 1),
            torch.tensor([0.0, 1] * 4)[:, None], "binary",
        ),
    ],
)  # fmt: skip
def test_the_task_is_told_from_the_targets(
    function: str, given: Tensor, target: Tensor, task: str
) -> None:
    call = LossCall(function, LOSS_KINDS[function], given, target, {}, torch.tensor(0.0))
    pool = [Minibatch((given,), {}, target)]
    assert yardstick_of(pool, call).task == task


def test_logarithms_of_yes_are_turned_back_into_scores() -> None:
    scores = torch.linspace(-4, 4, 20).double()
    labels = (scores > 0.5).double()
    by_scores = stick(labels, "binary", classes=(0.0, 1.0)).measure(lambda _: scores)
    found = stick(labels, "binary", classes=(0.0, 1.0), wants="log-probabilities")
    assert found.measure(lambda _: scores.sigmoid().log()) == pytest.approx(by_scores)


def test_the_logarithm_of_an_action_times_its_reward_is_no_distance() -> None:
    policy = nn.Linear(4, 3)
    scout = Scout(networks=[policy])
    watcher = scout.watcher()
    taps = Taps(watcher)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    taps.open()
    watcher.start()
    try:
        for _ in range(4):
            choice = Categorical(logits=policy(torch.randn(20, 4)))
            action = choice.sample()
            (-(choice.log_prob(action) * (action == 1).float()).sum()).backward()
            optimizer.step()
    finally:
        watcher.stop()
        taps.close()
    assert scout.pool
    assert scout.yardstick().task == ""
