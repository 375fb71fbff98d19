"""A training by hand, in NumPy and float64, and every number that watching it must give."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def train(
    weights: list[Array], inputs: Array, labels: Array, size: int, rate: float, penalty: float
) -> list[dict[str, float]]:
    """A fully-connected network 64-H-10 with ReLU, plain descent; one dict of series per step.

    Args:
        weights: W1 (H, D), b1 (H,), W2 (C, H), b2 (C,), as PyTorch lays them out.
        inputs: (N, D).
        labels: (N,) class numbers.
        size: of a minibatch; minibatches in order.
        rate: learning rate.
        penalty: factor of the sum of all squared weights of both matrices, added to the loss.
    """
    rows: list[dict[str, float]] = []
    before: list[Array] | None = None
    seen_on = np.zeros(len(weights[1]), bool)
    seen = 0
    for first in range(0, len(inputs) - size + 1, size):
        x, y = inputs[first : first + size], labels[first : first + size]
        one, b1, two, b2 = weights
        hidden = x @ one.T + b1
        active = np.where(hidden > 0, hidden, 0.0)
        scores = active @ two.T + b2
        shifted = scores - scores.max(1, keepdims=True)
        shares = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
        data = -np.log(shares[np.arange(size), y]).mean()
        extra = penalty * ((one**2).sum() + (two**2).sum())

        upstream = shares.copy()
        upstream[np.arange(size), y] -= 1
        upstream /= size
        back = (upstream @ two) * (hidden > 0)
        gradients = [
            back.T @ x + 2 * penalty * one,
            back.sum(0),
            upstream.T @ active + 2 * penalty * two,
            upstream.sum(0),
        ]
        seen += size
        seen_on |= (active > 0).any(0)
        row = {
            "train/loss": data + extra,
            "train/data_loss": data,
            "train/penalty": extra,
            "train/accuracy": (scores.argmax(1) == y).mean(),
            "train/learning_rate": rate,
            "train/gradient_norm": np.sqrt(sum((g**2).sum() for g in gradients)),
            "dead/1": (~seen_on).mean(),
        }
        for name, value in (("0", hidden), ("1", active), ("2", scores)):
            row[f"activation_mean/{name}"] = value.mean()
            row[f"activation_std/{name}"] = value.std()
            row[f"zero/{name}"] = (value == 0).mean()
        names = ("0.weight", "0.bias", "2.weight", "2.bias")
        for name, weight, gradient in zip(names, weights, gradients, strict=True):
            row[f"weight_norm/{name}"] = np.linalg.norm(weight)
            row[f"gradient_norm/{name}"] = np.linalg.norm(gradient)
            row[f"update_ratio/{name}"] = rate * np.linalg.norm(gradient) / np.linalg.norm(weight)
        if before is not None:
            for name, old, new in zip(names, before, gradients, strict=True):
                shared = 2 * (old * new).sum() / ((old**2).sum() + (new**2).sum())
                row[f"noise/{name}"] = 1 - shared
        rows.append({name: float(value) for name, value in row.items()})
        before = gradients
        weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
    return rows


def activation(values: Array, slope: Any) -> dict[str, float]:
    """Mean, std, zero and saturated share of a layer: ``slope`` is the derivative, as a function.

    Saturated: the slope is below 5 % of its maximum.
    """
    slopes = slope(values)
    return {
        "mean": values.mean(),
        "std": values.std(),
        "zero": (values == 0).mean(),
        "largest": np.abs(values).max(),
        "saturated": (slopes < 0.05).mean(),
    }


def entropy(labels: Array) -> float:
    """Nats of the best constant answer to class numbers."""
    _, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
