"""Slow float64 twins of layers, penalties, the max-norm constraint and initial statistics."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def maxout(x: Array, weight: Array, bias: Array, units: int, pieces: int) -> Array:
    """(N, D) to (N, units), one piece at a time; the pieces of a unit are neighbours."""
    out = np.empty((len(x), units))
    for n, row in enumerate(x):
        for u in range(units):
            values = []
            for k in range(pieces):
                piece = u * pieces + k
                values.append(sum(row[d] * weight[piece, d] for d in range(len(row))) + bias[piece])
            out[n, u] = max(values)
    return out


def penalty(weights: list[Array], kind: str, l1_ratio: float = 0.5) -> float:
    l1 = sum(abs(w) for weight in weights for w in weight.flat)
    l2 = sum(w * w for weight in weights for w in weight.flat) / 2
    return {"l1": l1, "l2": l2, "elastic": l1_ratio * l1 + (1 - l1_ratio) * l2}[kind]


def incoming(weight: Array, transposed: bool, groups: int) -> list[list[tuple[int, ...]]]:
    """For each unit, the indices of its incoming weights, from the definition of the layer."""
    units: list[list[tuple[int, ...]]] = []
    kernel = list(np.ndindex(weight.shape[2:]))
    if not transposed:
        for unit in range(weight.shape[0]):
            units.append([(unit, c, *k) for c in range(weight.shape[1]) for k in kernel])
        return units
    per_group = weight.shape[0] // groups
    for group in range(groups):
        inputs = range(group * per_group, (group + 1) * per_group)
        for unit in range(weight.shape[1]):
            units.append([(c, unit, *k) for c in inputs for k in kernel])
    return units


def max_norm(weight: Array, limit: float, transposed: bool = False, groups: int = 1) -> Array:
    out = weight.copy()
    for indices in incoming(weight, transposed, groups):
        norm = math.sqrt(sum(weight[i] ** 2 for i in indices))
        if norm > limit:
            for i in indices:
                out[i] = weight[i] * limit / norm
    return out


def fans(channels: int, filters: int, kernel: int, groups: int) -> tuple[int, int]:
    """Inputs per unit and units per input of a convolution, by counting connections."""
    reached: set[tuple[int, int]] = set()
    for f in range(filters):
        for c in range(channels):
            if f * groups // filters == c * groups // channels:
                reached.add((c, f))
    fan_in = sum(1 for _, f in reached if f == 0) * kernel
    fan_out = sum(1 for c, _ in reached if c == 0) * kernel
    return fan_in, fan_out
