"""Noise scale: from how many examples on a minibatch's gradient is more signal than noise."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from chainrule.answer import Answer


@dataclass(frozen=True)
class NoiseScale(Answer):
    """The simple noise scale tr(S) / |G|^2, S the covariance of the gradient of one example.

    Attributes:
        value: in examples; None where |G|^2 cannot be told from 0.
        low: lower end of its interval of 95 %, about.
        high: upper end; None where there is none (the gradient may be 0).
        variance: unbiased estimate of tr(S), squared units of the gradient.
        gradient: unbiased estimate of |G|^2; may come out negative.
        batch: examples in each minibatch.
        minibatches: how many minibatches were compared.
    """

    value: float | None
    low: float
    high: float | None
    variance: float
    gradient: float
    batch: int
    minibatches: int


def noise_scale(gradients: Tensor, batch: int) -> NoiseScale | None:
    """The gradient noise scale from the gradients of K disjoint minibatches of b examples.

    The two batch sizes are b and Kb. With A the mean of ``|g_k|^2`` and B the ``|.|^2`` of the
    mean of all g_k::

        |G|^2 = (Kb B - b A) / (Kb - b)        tr(S) = (A - B) / (1/b - 1/(Kb))

    are free of bias. Their ratio's interval is that of its inverse, ``|G|^2 / tr(S)``, whose error
    is estimated by leaving out one minibatch at a time (jackknife).

    Args:
        gradients: (K, n), one row for each minibatch.
        batch: b.

    Returns:
        The estimate; None where K < 3 or where all minibatches have the same gradient.

    Source: S. McCandlish, J. Kaplan, D. Amodei et al., An Empirical Model of Large-Batch
    Training, 2018, equation 2.9 and appendix A.1.

    Examples:
        >>> found = noise_scale(torch.tensor([[1.0, 0.0], [1.0, 2.0], [1.0, -2.0]]), batch=2)
        >>> round(found.variance, 4), round(found.gradient, 4)
        (8.0, -0.3333)
    """
    gram = (gradients @ gradients.T).double()
    count = len(gram)
    if count < 3:
        return None
    variance, squared = _estimates(gram, batch)
    if variance <= 1e-12 * float(gram.diagonal().mean()):
        return None
    inverse = squared / variance
    kept = [torch.arange(count) != left_out for left_out in range(count)]
    others = [_estimates(gram[keep][:, keep], batch) for keep in kept]
    inverses = torch.tensor([g / v if v > 0 else 0.0 for v, g in others])
    error = sqrt((count - 1) * float(inverses.var(correction=0)))
    low, high = inverse - 2 * error, inverse + 2 * error
    return NoiseScale(
        1 / inverse if inverse > 0 else None,
        1 / high if high > 0 else 0.0,
        1 / low if low > 0 else None,
        variance,
        squared,
        batch,
        count,
    )


def _estimates(gram: Tensor, batch: int) -> tuple[float, float]:
    """Unbiased tr(S) and |G|^2 from the products (K, K) of the minibatches' gradients."""
    count = len(gram)
    small, large = float(gram.diagonal().mean()), float(gram.mean())
    total = count * batch
    squared = (total * large - batch * small) / (total - batch)
    return (small - large) / (1 / batch - 1 / total), squared
