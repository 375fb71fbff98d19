"""Capacity: the decomposition in loops, and the polynomials by numpy.polyfit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chainrule.study.experiments import capacity as subject
from chainrule.study.experiments.capacity import Decomposed, Setup
from chainrule.study.lesson import digits, net


def test_decomposition_in_loops() -> None:
    random = np.random.default_rng(0)
    predictions, truth = random.normal(size=(4, 5, 3)), random.normal(size=(5, 3))
    bias, variance = subject.decompose(predictions, truth)
    spread = sum(
        sum((predictions[t, n, k] - predictions[:, n, k].mean()) ** 2 for t in range(4)) / 3
        for n in range(5)
        for k in range(3)
    )
    assert variance == pytest.approx(spread / 5)
    squared = [((predictions[t] - truth) ** 2).sum() / 5 for t in range(4)]
    assert bias + variance == pytest.approx(np.mean(squared))  # it is a decomposition


def test_squared_bias_is_without_bias_itself() -> None:
    """Two training sets of pure noise: a right mean in the long run, so no bias at all."""
    noise = np.random.default_rng(1).normal(size=(2, 20_000, 1))
    bias, variance = subject.decompose(noise, np.zeros((20_000, 1)))
    assert bias == pytest.approx(0, abs=0.04)
    assert variance == pytest.approx(1, abs=0.04)


def test_polynomials_by_polyfit() -> None:
    setup = Setup(degrees=4, curves=300)
    places = np.linspace(-1, 1, setup.points)
    truth = np.sin(3 * places + 0.5)
    expected = subject.closed_form(setup)
    found = subject._polynomials(setup, 0)
    for degree in range(5):
        fitted = np.polyval(np.polyfit(places, truth, degree), places)
        assert expected.bias[degree] == pytest.approx(np.mean((fitted - truth) ** 2))
        assert expected.variance[degree] == pytest.approx(0.3**2 * (degree + 1) / 20)
        assert found.bias[degree] == pytest.approx(expected.bias[degree], abs=2e-3)
        assert found.variance[degree] == pytest.approx(expected.variance[degree], rel=0.3)


def test_widths_are_parted_where_the_training_set_is_fitted() -> None:
    runs = [
        Decomposed((1.0,) * 4, (1.0,) * 4, fitted)
        for fitted in ((0.2, 0.97, 1.0, 1.0), (0.3, 0.99, 1.0, 1.0))
    ]
    few, many = subject._spans(Setup(widths=(1, 2, 4, 8)), runs)
    assert (list(few), list(many)) == ([0, 1], [2, 3])


def test_probabilities_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "fit", lambda *_, **__: None)  # untrained: optimizers load slowly
    material, module = digits(100, 7).flat(), net("FC-4, RELU, FC-10", 7, (64,))
    first, first_biases, last, last_biases = (
        p.detach().double().numpy() for p in module.parameters()
    )

    def scores(inputs: torch.Tensor) -> NDArray[np.float64]:
        hidden = np.maximum(inputs.double().numpy() @ first.T + first_biases, 0)
        return np.asarray(hidden @ last.T + last_biases)

    found, accuracy = subject._train(Setup(), 4, 7)
    shares = np.exp(scores(material.held_inputs))
    assert found.numpy() == pytest.approx(shares / shares.sum(1, keepdims=True), rel=1e-4)
    right = scores(material.inputs).argmax(1) == material.targets.numpy()
    assert accuracy == pytest.approx(right.mean())
