"""Statistics that a report adds to an answer: intervals and the most frequent confusions."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def wilson_interval(right: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927).

    Args:
        right: number of successes.
        count: number of trials, above 0.

    Examples:
        >>> [round(bound, 4) for bound in wilson_interval(9, 10)]
        [0.5958, 0.9821]
    """
    share, square = right / count, _Z**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    half = _Z / (1 + square / count) * spread
    return max(0.0, middle - half), min(1.0, middle + half)


def top_confusions(confusion: NDArray[Any], count: int = 5) -> list[tuple[int, int, int]]:
    """The most frequent ``(true, predicted, times)`` off the diagonal, the most frequent first.

    Examples:
        >>> import numpy as np
        >>> top_confusions(np.array([[5, 2], [1, 7]]))
        [(0, 1, 2), (1, 0, 1)]
    """
    cells = [
        (true, predicted, int(times))
        for true, row in enumerate(confusion)
        for predicted, times in enumerate(row)
        if true != predicted and times
    ]
    return sorted(cells, key=lambda cell: -cell[2])[:count]
