"""Slow float64 twins of the losses: loops over examples and classes, written from the formula."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def as_rows(targets: NDArray, classes: int) -> Array:
    """(N, C) float rows: class numbers become one-hot."""
    if targets.ndim == 2:
        return targets.astype(np.float64)
    rows = np.zeros((len(targets), classes))
    for n, y in enumerate(targets):
        rows[n, y] = 1.0
    return rows


def svm_of_class(scores: Array, y: int, margin: float, squared: bool) -> float:
    total = 0.0
    for j, score in enumerate(scores):
        if j != y:
            hinge = max(0.0, score - scores[y] + margin)
            total += hinge**2 if squared else hinge
    return total


def svm(scores: Array, targets: NDArray, margin: float = 1.0, squared: bool = False) -> Array:
    """(N,) losses."""
    rows = as_rows(targets, scores.shape[1])
    losses = []
    for n, row in enumerate(rows):
        losses.append(
            sum(t * svm_of_class(scores[n], y, margin, squared) for y, t in enumerate(row) if t)
        )
    return np.array(losses)


def softmax(scores: Array, targets: NDArray, label_smoothing: float = 0.0) -> float:
    classes = scores.shape[1]
    losses = []
    for row, target in zip(scores, as_rows(targets, classes), strict=True):
        exponentials = [math.exp(score) for score in row]
        probabilities = [value / sum(exponentials) for value in exponentials]
        loss = 0.0
        for t, probability in zip(target, probabilities, strict=True):
            smooth = (1 - label_smoothing) * t + label_smoothing / classes
            loss -= smooth * math.log(probability)
        losses.append(loss)
    return sum(losses) / len(losses)


def mse(scores: Array, targets: NDArray) -> float:
    rows = as_rows(targets, scores.shape[1])
    squares = [(s - t) ** 2 for s, t in zip(scores.flat, rows.flat, strict=True)]
    return sum(squares) / len(squares)


def bce(scores: Array, targets: NDArray) -> float:
    rows = as_rows(targets, scores.shape[1])
    losses = []
    for s, t in zip(scores.flat, rows.flat, strict=True):
        probability = 1 / (1 + math.exp(-s))
        losses.append(-t * math.log(probability) - (1 - t) * math.log(1 - probability))
    return sum(losses) / len(losses)


LOSSES = {
    "softmax": softmax,
    "svm": lambda scores, targets: svm(scores, targets).mean(),
    "squared-hinge": lambda scores, targets: svm(scores, targets, squared=True).mean(),
    "mse": mse,
    "bce": bce,
}
