"""A minibatch of one feature and the batchnorm layer it goes through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from chainrule.study.practice.families.drawing import (
    quarters,
    shown,
    until,
)

BIASED = "the variance in training is the biased one, divided by the size of the minibatch"


EPSILON = "epsilon is added to the variance, inside the root"


NOTHING = 1e-14  # PyTorch refuses an epsilon of 0 in training


_PATTERNS = ((-1, 1, -1, 1), (-4, 1, 1, 1, 1), (4, -1, -1, -1, -1), (1, 1, -1, -1), (2, -2))


@dataclass(frozen=True)
class Minibatch:
    """Values of one feature and the layer they go through."""

    values: tuple[float, ...]
    gamma: float
    beta: float
    epsilon: float

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def variance(self) -> float:
        return sum((x - self.mean) ** 2 for x in self.values) / len(self.values)

    @property
    def unbiased(self) -> float:
        return self.variance * len(self.values) / (len(self.values) - 1)

    @property
    def root(self) -> float:
        return math.sqrt(self.variance + self.epsilon)

    def normalized(self, place: int) -> float:
        return (self.values[place] - self.mean) / self.root

    def layer(self) -> nn.BatchNorm1d:
        """The real layer, in float64 and in training mode."""
        layer = nn.BatchNorm1d(1, eps=self.epsilon).double()
        nn.init.constant_(layer.weight, self.gamma)
        nn.init.constant_(layer.bias, self.beta)
        return layer

    def inputs(self) -> Tensor:
        """(N, 1)"""
        return torch.tensor(self.values, dtype=torch.float64)[:, None]

    @property
    def settings(self) -> str:
        epsilon = f"= {shown(self.epsilon)}" if self.epsilon > NOTHING else "too small to matter"
        return f"gamma = {shown(self.gamma)}, beta = {shown(self.beta)}, epsilon {epsilon}"


def easy(drawn: Random) -> Minibatch:
    """A minibatch whose standard deviation is whole, and next to no epsilon."""
    mean, spread, pattern = drawn.randint(-5, 9), drawn.randint(2, 4), drawn.choice(_PATTERNS)
    values = tuple(float(mean + spread * item) for item in drawn.sample(pattern, len(pattern)))
    return Minibatch(values, drawn.choice((2.0, 3.0, 0.5)), quarters(drawn, -2, 2, 0.5), NOTHING)


def harder(drawn: Random) -> Minibatch:
    values = until(
        lambda: tuple(float(drawn.randint(-4, 8)) for _ in range(drawn.choice((3, 4, 5)))),
        lambda found: len(set(found)) > 2,
    )
    epsilon = drawn.choice((0.25, 0.5, 1.0))
    return Minibatch(values, drawn.choice((2.0, 1.5, 0.5)), quarters(drawn, -2, 2, 0.5), epsilon)
