"""Moments: statistics of one layer's activations, gathered minibatch by minibatch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.gradients.activations import Activation
from chainrule.gradients.flow_answer import Histogram

BINS = 40


@dataclass(eq=False)
class Moments:
    """Running statistics in float64, of finite values alone; others are counted.

    Attributes:
        activation: the function whose output is looked at, None for other layers.
        count: finite values so far.
        mean, squares: their mean, and the sum of squared distances from it.
        smallest, largest: the ends.
        zeros, flat: values that are exactly 0, and saturated ones.
        not_finite: NaN and infinite values.
        on: (units,) whether a unit has ever been other than 0; None before the first.
    """

    activation: Activation | None = None
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf
    zeros: int = 0
    flat: int = 0
    not_finite: int = 0
    on: Tensor | None = None
    bins: Tensor | None = None
    edges: tuple[float, float] = (0.0, 0.0)

    def add(self, values: Tensor, axis: int | None = None) -> None:
        """Take in one tensor of activations.

        Args:
            values: any shape.
            axis: which axis counts the units.
        """
        finite = values.isfinite()
        kept = values if bool(finite.all()) else values[finite]
        self.not_finite += values.numel() - kept.numel()
        self.zeros += int((values == 0).sum())
        flat = None if self.activation is None else self.activation.saturated(kept)
        self.flat += 0 if flat is None else int(flat.sum())
        if kept.numel():
            self._merge(kept.double())
        if axis is not None and values.dim() > 1:
            self._units(values, axis)

    def _merge(self, values: Tensor) -> None:
        """Chan, Golub and LeVeque 1983: moments of a union from those of its parts."""
        variance, mean = torch.var_mean(values, correction=0)
        count, total = values.numel(), self.count + values.numel()
        apart = float(mean) - self.mean
        self.squares += float(variance) * count + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count = total
        ends = torch.aminmax(values)
        self.smallest = min(self.smallest, float(ends.min))
        self.largest = max(self.largest, float(ends.max))
        self._tally(values)

    def _tally(self, values: Tensor) -> None:
        if self.bins is None:
            room = 0.5 if self.smallest == self.largest else 0.0
            self.edges = (self.smallest - room, self.largest + room)
            self.bins = torch.zeros(BINS, dtype=torch.float64)
        low, high = self.edges
        self.bins += torch.histc(values.clamp(low, high), BINS, low, high)

    def _units(self, values: Tensor, axis: int) -> None:
        on = (values != 0).movedim(axis, 0).flatten(1).any(1)
        same = self.on is not None and self.on.shape == on.shape
        self.on = self.on | on if same and self.on is not None else on

    @property
    def std(self) -> float:
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    @property
    def zero(self) -> float:
        return self.zeros / max(self.count + self.not_finite, 1)

    @property
    def saturated(self) -> float | None:
        known = self.activation is not None and self.activation.slope is not None
        return self.flat / max(self.count, 1) if known else None

    @property
    def dead(self) -> int | None:
        """Units that have been off for all inputs at all positions; None where none can be."""
        rectified = self.activation is not None and self.activation.off
        return int((~self.on).sum()) if rectified and self.on is not None else None

    def histogram(self) -> Histogram:
        counts = () if self.bins is None else tuple(int(item) for item in self.bins.tolist())
        return Histogram(*self.edges, counts)
