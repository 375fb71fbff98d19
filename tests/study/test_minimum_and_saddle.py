"""Minimum and saddle: gradients by autograd, steps to leave by the root of the recursion."""

from __future__ import annotations

import math

import pytest
import torch

from chainrule.study.experiments import minimum_and_saddle as lesson

_SETUP = lesson.Setup(steps=500, runs=3)


@pytest.mark.parametrize("name", ["saddle", "wells"])
def test_gradients_are_those_of_autograd(name: str) -> None:
    numbers = () if name == "saddle" else (_SETUP.hill, _SETUP.deep)
    place = torch.tensor([[0.3, -1.2, 2.5], [0.7, 0.1, -2.0]], dtype=torch.float64)
    place.requires_grad_()
    heights = getattr(lesson, name)(place, *numbers)
    (slope,) = torch.autograd.grad(heights.sum(), place)
    torch.testing.assert_close(getattr(lesson, f"{name}_gradient")(place, *numbers), slope)


def test_path_is_that_of_torch_optim() -> None:
    start = torch.tensor([[-1.0, 0.5], [0.1, -0.2]], dtype=torch.float64)
    place = torch.nn.Parameter(start.clone())
    rule = torch.optim.SGD([place], lr=_SETUP.rate, momentum=0.9)
    for _ in range(50):
        rule.zero_grad()
        lesson.saddle(place).sum().backward()
        rule.step()
    way = lesson.descend(lesson.saddle_gradient, start, _SETUP, momentum=0.9)
    torch.testing.assert_close(way[50], place.detach())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_to_leave_are_those_of_the_linear_recursion(momentum: float) -> None:
    """y grows by the larger root of z^2 - (1 + mu + rate) z + mu; y^3 costs a few steps more."""
    middle = (1 + momentum + _SETUP.rate) / 2
    root = middle + math.sqrt(middle**2 - momentum)
    other = middle - math.sqrt(middle**2 - momentum)
    first = _SETUP.beside * (1 + _SETUP.rate)  # after one step; before it stood still
    share = (first - other * _SETUP.beside) / (root - other)
    wanted = math.log(0.5 / share) / math.log(root)
    start = torch.tensor([[-1.0], [_SETUP.beside]], dtype=torch.float64)
    way = lesson.descend(lesson.saddle_gradient, start, _SETUP, momentum=momentum)
    assert lesson.steps_to_leave(way)[0] == pytest.approx(wanted, abs=6)


def test_a_path_that_stays_has_no_step_to_leave() -> None:
    assert lesson.steps_to_leave(torch.zeros(4, 2, 1)) == [math.inf]
