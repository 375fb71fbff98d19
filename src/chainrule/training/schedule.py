"""Schedules: the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Factor on the base learning rate at each step.

    With s steps in all, w warm-up steps and t = (step - w) / (s - w) in [0, 1):

    - constant: 1
    - step: ``step_factor ** floor((step - w) / step_every)``
    - cosine: ``(1 + cos(pi t)) / 2`` (Loshchilov & Hutter 2017, without restarts)
    - one-cycle: rises from 1/25 to 1 over the first 30 % of the steps along a cosine, then
      falls to 1/250,000 along a cosine (Smith & Topin 2018, PyTorch's OneCycleLR defaults)

    During warm-up the factor rises linearly: ``(step + 1) / (w + 1)``.

    Attributes:
        name: constant, step, cosine or one-cycle.
        steps: number of updates of the whole run.
        warmup: number of warm-up updates.
        step_every: updates between two falls (schedule "step" only).
        step_factor: factor at each fall (schedule "step" only).

    Examples:
        >>> [round(Schedule("cosine", 4).factor(step), 3) for step in range(4)]
        [1.0, 0.854, 0.5, 0.146]
    """

    name: str
    steps: int
    warmup: int = 0
    step_every: int = 1
    step_factor: float = 0.1

    def factor(self, step: int) -> float:
        """Factor on the base learning rate for the update number ``step`` (0-based)."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        done, total = step - self.warmup, max(1, self.steps - self.warmup)
        if self.name == "step":
            return float(self.step_factor ** (done // self.step_every))
        if self.name == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done / total))
        if self.name == "one-cycle":
            return _one_cycle(done, total)
        return 1.0


def _one_cycle(step: int, steps: int) -> float:
    low, lowest = 1 / 25, 1 / 250_000
    last_rise, last = 0.3 * steps - 1, steps - 1
    if step <= last_rise:
        return _cosine_between(low, 1.0, step / last_rise)
    return _cosine_between(1.0, lowest, (step - last_rise) / max(last - last_rise, 1e-12))


def _cosine_between(start: float, end: float, position: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * position))
