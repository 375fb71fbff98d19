"""Batchnorm as a regularizer: noise by counting, normalization without noise by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from chainrule.study.experiments import batchnorm_regularizes as subject
from chainrule.study.experiments.batchnorm_regularizes import Quiet
from chainrule.study.lesson import digits, generator, net


def test_predicted_noise_over_all_minibatches() -> None:
    values = [0.3, -1.2, 2.0, 0.7, 5.0]
    for batch in (1, 2, 4):
        means = [np.mean(chosen) for chosen in combinations(values, batch)]
        assert subject.predicted_noise(5, batch) == pytest.approx(np.std(means) / np.std(values))


def test_noise_of_means_by_hand() -> None:
    module, inputs = net("FC-3, BN, RELU, FC-10", 0), digits(30, 0).inputs
    layer = next(item for item in module.modules() if isinstance(item, nn.Linear))
    weights, biases = (p.detach().double().numpy() for p in layer.parameters())
    sums = inputs.flatten(1).double().numpy() @ weights.T + biases
    random, means = generator(4), []
    for _ in range(subject._DRAWS):
        chosen = torch.randperm(30, generator=random)[:6]
        means.append(sums[chosen.numpy()].mean(0))
    expected = np.sqrt(np.var(means, axis=0, ddof=1).sum() / sums.var(0).sum())
    assert subject.noise_of_means(module, inputs, 6, 4) == pytest.approx(expected, rel=1e-5)


def test_without_noise_all_examples_normalize() -> None:
    everything = digits(40, 0).inputs.double()
    module = net("FC-3, BN", 0).double()
    layer = next(item for item in module.modules() if isinstance(item, nn.Linear))
    inputs = everything[:5]
    sums = layer(torch.cat([inputs, everything]).flatten(1)).detach().numpy()
    expected = (sums[:5] - sums.mean(0)) / np.sqrt(sums.var(0) + 1e-5)
    found = Quiet(module, everything)(inputs).detach().numpy()
    assert found == pytest.approx(expected)


def test_settled_statistics_are_those_of_all_examples() -> None:
    inputs, module = digits(40, 0).inputs, net("FC-3, BN", 0)
    subject.settle(module, inputs)
    layers = list(module.modules())
    linear = next(item for item in layers if isinstance(item, nn.Linear))
    sums = linear(inputs.flatten(1)).detach().double().numpy()
    norm = next(item for item in layers if isinstance(item, nn.BatchNorm1d))
    assert norm.running_mean is not None
    assert norm.running_mean.numpy() == pytest.approx(sums.mean(0), abs=1e-5)
    assert norm.running_var is not None
    assert norm.running_var.numpy() == pytest.approx(sums.var(0, ddof=1), rel=1e-4)


def test_gap_is_read_at_the_aim() -> None:
    """Gaps of 2 / sqrt(training loss), whose logarithms lie on a line; far ones do not count."""
    points = [(loss, loss + 2 / np.sqrt(loss)) for loss in (0.15, 0.18, 0.25, 0.39)]
    found = subject.gap_at([*points, (2.0, 9.0), (0.01, 0.02)], 0.2)
    assert found == pytest.approx(2 / np.sqrt(0.2))
