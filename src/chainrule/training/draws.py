"""Draws: random numbers for the examples of a minibatch, or for a process's share of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Size = int | tuple[int, ...]


class Draws(Protocol):
    """What an augmentation draws with; NumPy's Generator is one. The last axis is the examples."""

    def integers(self, low: int, high: int, size: Size) -> NDArray[Any]:
        """Whole numbers from ``low`` to ``high - 1``."""

    def random(self, size: int) -> NDArray[Any]:
        """Numbers in [0, 1)."""

    def uniform(self, low: float, high: float, size: int) -> NDArray[Any]:
        """Numbers in [low, high)."""


class Share:
    """Draws for a part of a minibatch what would be drawn for it in the whole.

    Args:
        rng: draws for the whole minibatch.
        part: the examples wanted.
        count: number of examples of the whole.

    Examples:
        >>> whole = np.random.default_rng(0).random(5)
        >>> part = Share(np.random.default_rng(0), slice(2, 4), 5).random(2)
        >>> bool((part == whole[2:4]).all())
        True
    """

    def __init__(self, rng: np.random.Generator, part: slice, count: int) -> None:
        self.rng, self.part, self.count = rng, part, count

    def integers(self, low: int, high: int, size: Size) -> NDArray[Any]:
        """Whole numbers from ``low`` to ``high - 1``."""
        return self.rng.integers(low, high, self._whole(size))[..., self.part]

    def random(self, size: int) -> NDArray[Any]:
        """Numbers in [0, 1)."""
        return self.rng.random(self._whole(size))[self.part]

    def uniform(self, low: float, high: float, size: int) -> NDArray[Any]:
        """Numbers in [low, high)."""
        return self.rng.uniform(low, high, self._whole(size))[self.part]

    def _whole(self, size: Size) -> tuple[int, ...]:
        leading = () if isinstance(size, int) else size[:-1]
        return (*leading, self.count)
