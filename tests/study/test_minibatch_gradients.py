"""Minibatch gradients: each example by plain autograd, each minibatch by a loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from chainrule.study.experiments import minibatch_gradients as lesson
from chainrule.study.lesson import digits, generator, net

_SETUP = lesson.Setup(network="FC-4, TANH, FC-10", sizes=(1, 8, 64), draws=20)


def _by_autograd(count: int) -> torch.Tensor:
    """One backward pass per example (count, P)."""
    module = net(_SETUP.network, 0).double()
    material, rows = digits(), []
    for place in range(count):
        module.zero_grad()
        scores = module(material.inputs[place : place + 1].double())
        functional.cross_entropy(scores, material.targets[place : place + 1]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    return torch.stack(rows)


def test_gradients_of_examples_are_those_of_autograd() -> None:
    found = lesson._example_gradients(net(_SETUP.network, 0), digits())
    torch.testing.assert_close(found[:20], _by_autograd(20))


def test_errors_and_cosines_are_those_of_a_loop_over_minibatches() -> None:
    count = len(digits().inputs)
    gradients = torch.randn(count, 5, generator=generator(1), dtype=torch.float64) + 0.3
    found = lesson._compare(_SETUP, gradients, 7)
    random, full = generator(7), gradients.mean(0)
    for place, size in enumerate(_SETUP.sizes):
        chosen = torch.randint(count, (_SETUP.draws, size), generator=random)
        means = [sum(gradients[i] for i in row) / size for row in chosen.tolist()]
        squares = [float(((mean - full) ** 2).sum()) for mean in means]
        error = math.sqrt(sum(squares) / len(squares)) / math.sqrt(float((full**2).sum()))
        cosines = [float(mean @ full / (mean.norm() * full.norm())) for mean in means]
        assert found.errors[place] == pytest.approx(error)
        assert found.cosines[place] == pytest.approx(sum(cosines) / len(cosines))
    assert found.predicted == pytest.approx(
        math.sqrt(float(gradients.var(0, correction=0).sum())) / float(full.norm())
    )


def test_sorted_minibatches_hold_few_classes() -> None:
    broken = lesson.EXPERIMENT.sabotaged
    times = lesson._drawn(broken, 16, generator(0))
    classes = [len(set(digits().targets[row > 0].tolist())) for row in times]
    assert max(classes) <= 2
    assert times.sum(1).eq(16).all()


def test_slope_of_the_law_is_minus_a_half() -> None:
    errors = [3 / math.sqrt(size) for size in _SETUP.sizes]
    assert lesson._Found(errors, [], 3.0, 1.0).slope(_SETUP.sizes) == pytest.approx(-0.5)
