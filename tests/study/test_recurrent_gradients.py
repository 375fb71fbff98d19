"""Recurrent gradients: a product of Jacobians written out, and clipping against PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chainrule.study.experiments.recurrent_gradients import Setup, growth
from chainrule.study.experiments.recurrent_nets import clip, matrix
from chainrule.study.lesson import generator

SETUP = Setup(units=6, inputs=3, steps=12)


@pytest.mark.parametrize("squashed", [False, True])
def test_growth_is_a_product_of_jacobians(squashed: bool) -> None:
    weights = matrix(6, 1.3, False, generator(0))
    found = growth(SETUP, weights, squashed, 0)
    random = generator(1000)  # the same draws, in the same order
    entry, inputs, upstream = (
        torch.randn(*shape, generator=random, dtype=torch.float64).numpy()
        for shape in ((6, 3), (12, 3), (6,))
    )
    w, state, slopes = weights.numpy(), np.zeros(6), []
    for vector in inputs:
        inside = w @ state + entry @ vector / math.sqrt(3)
        state = np.tanh(inside) if squashed else inside
        slopes.append(1 - state**2 if squashed else np.ones(6))
    gradient, expected = upstream, [1.0]
    for slope in reversed(slopes):
        gradient = w.T @ (slope * gradient)
        expected.append(float(np.linalg.norm(gradient) / np.linalg.norm(upstream)))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("equal", [False, True])
def test_matrix_has_its_largest_singular_value(equal: bool) -> None:
    singular = np.linalg.svd(matrix(8, 1.5, equal, generator(1)).numpy(), compute_uv=False)
    assert singular.max() == pytest.approx(1.5)
    assert (singular.min() == pytest.approx(1.5)) == equal


def test_clipping_by_the_norm_is_that_of_pytorch() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.zeros(2, 3))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator(2)) * 7
    ours = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    clip(ours, 2.0, 1)
    torch.nn.utils.clip_grad_norm_(parameters, 2.0)
    for mine, parameter in zip(ours, parameters, strict=True):
        torch.testing.assert_close(mine, parameter.grad)


def test_clipping_by_the_square_shortens_the_long_the_most() -> None:
    lengths = []
    for norm in (10.0, 100.0):
        gradient = torch.tensor([0.6, 0.8]) * norm
        clip([gradient], 5.0, 2)
        lengths.append(float(gradient.norm()))
    assert lengths == pytest.approx([0.5, 0.05])
