"""Recurrent nets: W with a chosen largest singular value, a reader of images, and clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from chainrule.study.lesson import generator


def matrix(units: int, sigma: float, equal: bool, random: torch.Generator) -> Tensor:
    """W (units, units) with largest singular value sigma: a rotation times sigma, or Gaussian."""
    drawn = torch.randn(units, units, generator=random, dtype=torch.float64)
    if equal:
        drawn = torch.linalg.qr(drawn)[0]
    return drawn * (sigma / float(torch.linalg.matrix_norm(drawn, 2)))


class RowByRow(nn.Module):
    """A linear recurrent network that reads an image (N, 1, H, W) row by row."""

    def __init__(self, units: int, sigma: float, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.entry, self.scores = nn.Linear(8, units), nn.Linear(units, 10)
        self.recurrent = nn.Parameter(matrix(units, sigma, True, generator(seed)).float())

    def forward(self, images: Tensor) -> Tensor:
        state = images.new_zeros(len(images), len(self.recurrent))
        for row in images.flatten(1, 2).unbind(1):
            state = state @ self.recurrent.T + self.entry(row)
        scores: Tensor = self.scores(state)
        return scores


def clip(gradients: Iterable[Tensor], threshold: float, power: int) -> None:
    """Shorten all gradients together where ``norm^power`` exceeds the threshold, in place.

    Args:
        gradients: of all parameters.
        threshold: most that ``norm^power`` may be.
        power: 1 clips by the norm (Pascanu et al. 2013); 2 is the course's code, ``if sum(g*g) >
            threshold: g *= threshold / sum(g*g)``; 0 does not clip.
    """
    gradients = list(gradients)
    squares = sum(float(gradient.double().square().sum()) for gradient in gradients)
    size = math.sqrt(squares) ** power
    if power and size > threshold:
        for gradient in gradients:
            gradient.mul_(threshold / size)
