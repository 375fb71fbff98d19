"""Learning-rate curves: softmax regression by NumPy in float64, and the labels counted."""

from __future__ import annotations

import numpy
import pytest
import torch

from chainrule.study.experiments import learning_rate_curves as lesson
from chainrule.study.lesson import digits, generator, net

_SETUP = lesson.Setup(epochs=2, runs=2)


def _by_numpy(rate: float, seed: int) -> list[float]:
    """The loss of all examples, then the mean minibatch loss of each epoch, from the formula."""
    module = net("FC-10", seed)
    weights, biases = (p.detach().double().numpy().copy() for p in module.parameters())
    inputs, targets = digits().inputs.flatten(1).double().numpy(), digits().targets.numpy()
    found = [_loss(inputs @ weights.T + biases, targets)]
    random = generator(seed)
    for _ in range(_SETUP.epochs):
        order, losses = torch.randperm(len(inputs), generator=random).numpy(), []
        for start in range(0, len(inputs) - _SETUP.batch + 1, _SETUP.batch):
            chosen = order[start : start + _SETUP.batch]
            scores = inputs[chosen] @ weights.T + biases
            losses.append(_loss(scores, targets[chosen]))
            shares = numpy.exp(scores) / numpy.exp(scores).sum(1, keepdims=True)
            shares[numpy.arange(len(chosen)), targets[chosen]] -= 1
            weights -= rate * shares.T @ inputs[chosen] / len(chosen)
            biases -= rate * shares.mean(0)
        found.append(float(numpy.mean(losses)))
    return found


def _loss(scores: numpy.ndarray, targets: numpy.ndarray) -> float:
    right = scores[numpy.arange(len(targets)), targets]
    return float(numpy.mean(numpy.log(numpy.exp(scores).sum(1)) - right))


def test_curve_is_that_of_softmax_regression() -> None:
    assert lesson._curve(_SETUP, 0.1, 0.0, 3) == pytest.approx(_by_numpy(0.1, 3), rel=1e-4)


def test_share_of_changed_labels() -> None:
    """A redrawn label is the old one in a tenth of the cases."""
    changed = lesson._relabelled(digits(), 0.3, 0).targets != digits().targets
    assert float(changed.double().mean()) == pytest.approx(0.27, abs=0.04)


def test_halves_of_a_straight_and_of_an_exponential_curve() -> None:
    assert lesson._second_half([5.0, 4.0, 3.0, 2.0, 1.0]) == pytest.approx(1.0)
    assert lesson._second_half([16.0, 8.0, 4.0, 2.0, 1.0]) == pytest.approx(3 / 12)
