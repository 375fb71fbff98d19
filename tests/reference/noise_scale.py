"""Noise scale, the plain way: per-example gradients of a linear softmax classifier in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def per_example_gradients(w: Any, b: Any, x: Any, y: Any) -> NDArray[np.float64]:
    """(N, n) gradients of each example's softmax loss by (w (C, D), b (C,)), laid end to end."""
    rows = []
    for example, label in zip(x, y, strict=True):
        scores = w @ example + b
        p = np.exp(scores - scores.max())
        p /= p.sum()
        p[label] -= 1
        rows.append(np.concatenate([np.outer(p, example).ravel(), p]))
    return np.array(rows)


def simple_noise_scale(gradients: Any, batch: int) -> tuple[float, float]:
    """(tr of the covariance, |G|^2) by two batch sizes, McCandlish et al. 2018, appendix A.1.

    Args:
        gradients: (N, n), one row for each example, in the order of the minibatches.
        batch: the small batch; the large one is all minibatches together.
    """
    count = len(gradients) // batch
    parts = [gradients[k * batch : (k + 1) * batch].mean(0) for k in range(count)]
    small = np.mean([part @ part for part in parts])
    whole = gradients[: count * batch].mean(0)
    large, big = whole @ whole, count * batch
    squared = (big * large - batch * small) / (big - batch)
    return float((small - large) / (1 / batch - 1 / big)), float(squared)
