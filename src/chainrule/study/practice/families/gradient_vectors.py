"""Gradient vectors with whole norms, and ways of clipping them by hand, PyTorch and NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np
import torch

Numbers = Sequence[float]
BY_NORM = "by norm: where the Euclidean norm is above t, g is multiplied by t/norm"
EPSILON = "the 1e-6 that PyTorch adds to the norm is left out"
BY_VALUE = "by value: each element is cut to [-t, t] by itself"
SQUARED = "`s = sum(g*g); if s > t: g = g * t / s`"
_WHOLE = {  # vectors of whole numbers whose norm is whole
    2: ((3, 4), (6, 8), (5, 12), (8, 15), (9, 12), (12, 16)),
    3: ((1, 2, 2), (2, 3, 6), (1, 4, 8), (4, 4, 7), (2, 6, 9), (6, 6, 7), (3, 4, 12)),
}


def gradient(drawn: Random, length: int) -> list[float]:
    """A gradient whose norm is a whole number or a half, above 2."""
    while True:
        found = [float(item) for item in drawn.choice(_WHOLE[length])]
        drawn.shuffle(found)
        scale = drawn.choice((0.5, 1, 2))
        found = [scale * drawn.choice((-1, 1)) * item for item in found]
        if norm_of(found) > 2:
            return found


def norm_of(values: Numbers) -> float:
    return math.sqrt(sum(value * value for value in values))


def scaled(values: Numbers, by: float) -> list[float]:
    return [by * value for value in values]


def cut(values: Numbers, bound: float) -> list[float]:
    return [max(-bound, min(bound, value)) for value in values]


def clipped_by_pytorch(parts: Sequence[Numbers], bound: float) -> list[list[float]]:
    leaves = [torch.zeros(len(part), dtype=torch.float64, requires_grad=True) for part in parts]
    for leaf, part in zip(leaves, parts, strict=True):
        leaf.grad = torch.tensor(part, dtype=torch.float64)
    torch.nn.utils.clip_grad_norm_(leaves, bound)
    return [leaf.grad.tolist() for leaf in leaves if leaf.grad is not None]


def cut_by_pytorch(values: Numbers, bound: float) -> list[float]:
    leaf = torch.zeros(len(values), dtype=torch.float64, requires_grad=True)
    leaf.grad = torch.tensor(values, dtype=torch.float64)
    torch.nn.utils.clip_grad_value_([leaf], bound)
    return list(leaf.grad.tolist())


def as_written(values: Numbers, bound: float) -> list[float]:
    """The lines of the question, in NumPy."""
    g = np.array(values)
    s = np.sum(g * g)
    if s > bound:
        g = g * bound / s
    return list(map(float, g))
