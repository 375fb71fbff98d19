"""What is recorded equals a slow twin: a whole training by hand, and each statistic alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.faults.watching import digits
from tests.reference import watching as twin

from chainrule.diagnosis.facts import facts_of, loss_facts
from chainrule.diagnosis.layers import DeadWindow, activations
from chainrule.diagnosis.losses import LOSS_KINDS, LossCall, TargetTally, right_answers
from chainrule.diagnosis.parameters import noise, norms
from chainrule.diagnosis.watch import watch
from chainrule.gradients.activations import ACTIVATIONS

RATE, PENALTY, SIZE = 0.2, 1e-3, 50


def network():
    torch.manual_seed(4)
    return torch.nn.Sequential(
        torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 10)
    ).double()


def trained(share=1.0, change=lambda loss: loss):
    """The training of the twin, watched."""
    x, y = digits()
    net = network()
    torch.nn.init.constant_(net[0].bias[:3], -50.0)  # three dead units
    optimizer = torch.optim.SGD(net.parameters(), RATE)
    weights = [item.detach().clone().numpy() for item in net.parameters()]
    with watch(runs=None, share=share) as watching:
        for first in range(0, 1797 - SIZE + 1, SIZE):
            optimizer.zero_grad()
            scores = net(x[first : first + SIZE].double())
            loss = F.cross_entropy(scores, y[first : first + SIZE])
            penalty = PENALTY * sum((net[place].weight ** 2).sum() for place in (0, 2))
            change(loss + penalty).backward()
            optimizer.step()
    rows = twin.train(weights, x.double().numpy(), y.numpy(), SIZE, RATE, PENALTY)
    return watching.result, rows


def test_every_series_of_a_training_by_hand():
    seen, rows = trained()
    expected: dict[str, list[tuple[int, float]]] = {}
    for step, row in enumerate(rows, 1):
        for name, value in row.items():
            expected.setdefault(name, []).append((step, value))
    assert set(seen.series) == set(expected)
    for name, points in expected.items():
        found = seen.series[name]
        if name == "dead/1":  # the window begins anew after 2,000 inputs, which is not reached
            assert found == tuple(points)
        assert [step for step, _ in found] == [step for step, _ in points], name
        values = [value for _, value in found], [value for _, value in points]
        np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-12, err_msg=name)
    assert rows[-1]["dead/1"] >= 3 / 24


def test_the_comparison_can_fail():
    """With another penalty the twin does not agree."""
    seen, rows = trained(change=lambda loss: loss * 1.001)
    loss = dict(seen.series["train/gradient_norm"])[30]
    assert abs(loss - rows[29]["train/gradient_norm"]) > 1e-6


def test_a_factor_before_backward_is_no_part_of_the_loss():
    """Accumulation and gradient scalers multiply the loss: the series has it without."""
    seen, rows = trained(change=lambda loss: loss * 4)
    assert dict(seen.series["train/loss"])[1] == pytest.approx(rows[0]["train/loss"], rel=1e-9)
    assert dict(seen.series["train/penalty"])[1] == pytest.approx(rows[0]["train/penalty"])


def test_sampling_leaves_out_and_never_alters():
    """At the default share fewer steps are looked at; those that are have the same numbers."""
    seen, rows = trained(share=0.02)
    assert len(seen.series["train/loss"]) == len(rows)
    assert 3 <= len(seen.series["gradient_norm/0.weight"]) < len(rows)
    for name, points in seen.series.items():
        for step, value in points:
            if name in rows[step - 1]:
                if name == "dead/1":  # over the inputs looked at, which are fewer
                    assert value >= rows[step - 1][name]
                else:
                    assert value == pytest.approx(rows[step - 1][name], rel=1e-9, abs=1e-12), name


def test_the_constant_predictor_is_that_of_all_targets():
    seen, _ = trained()
    _, y = digits()
    count = 1797 // SIZE * SIZE
    assert seen.constant == pytest.approx(twin.entropy(y[:count].numpy()), rel=1e-12)


SLOPES = {
    "tanh": (torch.tanh, lambda a: 1 - a**2),
    "sigmoid": (torch.sigmoid, lambda a: 4 * a * (1 - a)),
}


@pytest.mark.parametrize("name", SLOPES)
def test_activations_of_one_layer(name):
    function, slope = SLOPES[name]
    values = function(4 * torch.randn(64, 30, dtype=torch.float64))
    found = activations("layer", name, values, ACTIVATIONS[name], 1)
    expected = twin.activation(values.numpy(), slope)
    for key, value in expected.items():
        assert getattr(found, key) == pytest.approx(value, rel=1e-12), key


def test_activations_leave_out_what_is_not_finite():
    values = torch.tensor([[1.0, math.nan, 3.0], [math.inf, -2.0, 0.0]])
    found = activations("layer", "Linear", values, None, 1)
    kept = np.array([1.0, 3.0, -2.0, 0.0])
    assert (found.mean, found.std) == pytest.approx((kept.mean(), kept.std()))
    assert (found.not_finite, found.largest) == (2, 3.0)


def test_a_unit_is_dead_when_it_is_off_for_all_of_many_inputs():
    generator = np.random.default_rng(0)
    window, seen = DeadWindow(), []
    for _ in range(7):
        on = generator.random((300, 40)) < 0.002
        on[:, :5] = False
        seen.append(on)
        window.add(torch.from_numpy(on.any(0)), 300)
        if len(seen) < 7:  # 2,000 inputs close the window
            assert (window.dead, window.of) == (
                int((~np.concatenate(seen).any(0)).sum()), 300 * len(seen),
            )  # fmt: skip
    assert (window.dead, window.of) == (int((~np.concatenate(seen).any(0)).sum()), 2100)
    window.add(torch.zeros(40, dtype=torch.bool), 300)
    assert (window.dead, window.of) == (5, 2100), "half a window is not told"


def test_norms_and_noise():
    one, two = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    assert norms([one, None])[0] == pytest.approx(np.linalg.norm(one.numpy()), rel=1e-14)
    flat = [item.numpy().ravel() for item in (one, two)]
    expected = ((flat[0] - flat[1]) ** 2).sum() / ((flat[0] ** 2).sum() + (flat[1] ** 2).sum())
    assert noise([one], [two])[0] == pytest.approx(expected, rel=1e-12)


def test_facts_of_a_tensor():
    values = torch.randn(40, 6, dtype=torch.float64) * torch.arange(1, 7)
    found = facts_of(values)
    array = values.numpy()
    assert (found.mean, found.std) == pytest.approx((array.mean(), array.std()), rel=1e-12)
    assert (found.low, found.high) == (array.min(), array.max())
    spread = array.std(0)
    lower_median = np.sort(spread)[(len(spread) - 1) // 2]
    assert found.feature_spread == pytest.approx(spread.max() / lower_median, rel=1e-12)
    holed = values.clone()
    holed[0, 0] = math.nan
    assert (facts_of(holed).not_finite, facts_of(holed).mean) == (
        1, pytest.approx(np.delete(array.ravel(), 0).mean()),
    )  # fmt: skip


CALLS = {
    "classes": ("cross_entropy", lambda s: s.argmax(1)),
    "binary": ("binary_cross_entropy_with_logits", lambda s: s > 0),
}


@pytest.mark.parametrize("task", CALLS)
def test_right_answers(task):
    name, answer = CALLS[task]
    scores = torch.randn(50, 4)
    target = torch.randint(4, (50,)) if task == "classes" else (torch.rand(50, 4) > 0.5).float()
    loss = getattr(F, name)(scores, target)
    found = right_answers(LossCall(name, LOSS_KINDS[name], scores, target, {}, loss))
    right = int((answer(scores.numpy()) == target.numpy()).sum())
    assert found == (right, target.numel())


def test_ignored_targets_do_not_count():
    scores, target = torch.randn(6, 3), torch.tensor([0, 1, 2, -100, -100, 0])
    loss = F.cross_entropy(scores, target)
    found = right_answers(LossCall("", LOSS_KINDS["cross_entropy"], scores, target, {}, loss))
    right = int((scores.numpy().argmax(1) == target.numpy()).sum())
    assert found == (right, 4)


def test_targets_are_tallied_over_minibatches():
    tally, kept = TargetTally(), []
    for _ in range(5):
        target = torch.randn(20, 2, dtype=torch.float64) * 3 + 7
        kept.append(target.numpy())
        loss = F.mse_loss(target * 0, target)
        tally.add(LossCall("", LOSS_KINDS["mse_loss"], target * 0, target, {}, loss))
    expected = np.concatenate(kept).var()
    assert tally.constant(LOSS_KINDS["mse_loss"]) == pytest.approx(expected, rel=1e-12)


def test_loss_facts_see_probabilities_where_there_are():
    scores = torch.randn(30, 5)
    for given, simplex, normalized in (
        (scores, 0.0, False),
        (scores.softmax(1), 1.0, False),
        (scores.log_softmax(1), 0.0, True),
    ):
        loss = F.cross_entropy(given, torch.zeros(30, dtype=torch.long))
        target = torch.zeros(30, dtype=torch.long)
        call = LossCall("cross_entropy", LOSS_KINDS["cross_entropy"], given, target, {}, loss)
        found = loss_facts(call)
        assert (found.simplex, found.normalized) == (simplex, normalized)
        assert found.at_zero == pytest.approx(math.log(5))
        expected = -given.double().log_softmax(1).numpy()[:, 0].mean()
        assert found.value == pytest.approx(expected, rel=1e-5)
