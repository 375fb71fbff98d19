"""Quadratic valley: a Hessian with a condition number, and the update rules on their way down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_Moved = tuple[Tensor, Tensor, Tensor]
_Update = Callable[[Tensor, Tensor, Tensor, Tensor, int], _Moved]


# what each rule does with (velocity m, cache c, gradient g, mu, time t): (direction, m, c)
def _sgd(m: Tensor, c: Tensor, g: Tensor, mu: Tensor, t: int) -> _Moved:
    return g, m, c


def _momentum(m: Tensor, c: Tensor, g: Tensor, mu: Tensor, t: int) -> _Moved:
    m = mu * m + g
    return m, m, c


def _nesterov(m: Tensor, c: Tensor, g: Tensor, mu: Tensor, t: int) -> _Moved:
    m = mu * m + g
    return g + mu * m, m, c


def _adagrad(m: Tensor, c: Tensor, g: Tensor, mu: Tensor, t: int) -> _Moved:
    c = c + g * g
    return g / (c.sqrt() + 1e-10), m, c


def _rmsprop(m: Tensor, c: Tensor, g: Tensor, mu: Tensor, t: int) -> _Moved:
    c = 0.99 * c + 0.01 * g * g
    return g / (c.sqrt() + 1e-8), m, c


def _adam(m: Tensor, c: Tensor, g: Tensor, mu: Tensor, t: int) -> _Moved:
    m, c = 0.9 * m + 0.1 * g, 0.999 * c + 0.001 * g * g
    return m / (1 - 0.9**t) / ((c / (1 - 0.999**t)).sqrt() + 1e-8), m, c


RULES: dict[str, _Update] = {
    "SGD": _sgd, "momentum": _momentum, "Nesterov": _nesterov, "AdaGrad": _adagrad,
    "RMSProp": _rmsprop, "Adam": _adam,
}  # fmt: skip


def descend(
    rule: str, hessian: Tensor, start: Tensor, rates: Tensor, mu: Tensor, steps: int
) -> Iterator[Tensor]:
    """Every place of the way down w'Hw/2, without the start; all cells at once.

    Args:
        rule: its name.
        hessian: (2, 2, ...), what follows broadcasts against the cells.
        start: (2, ...) likewise.
        rates: (...) learning rates.
        mu: (...) momenta; only momentum and Nesterov look at them.
        steps: how many.
    """
    place = start * torch.ones_like(rates * mu)
    velocity, cache = torch.zeros_like(place), torch.zeros_like(place)
    for time in range(1, steps + 1):
        gradient = hessian[:, 0] * place[0] + hessian[:, 1] * place[1]
        direction, velocity, cache = RULES[rule](velocity, cache, gradient, mu, time)
        place = place - rates * direction
        yield place


def valley(kappa: float, degrees: float) -> Tensor:
    """The Hessian (2, 2) with curvatures 1/kappa and 1, turned about the minimum."""
    turn = rotation(degrees)
    return turn @ torch.diag(torch.tensor([1 / kappa, 1.0], dtype=torch.float64)) @ turn.T


def rotation(degrees: float) -> Tensor:
    """(2, 2)."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
