"""Planner: how thorough a check can be in the time it is given."""

from __future__ import annotations

import time

from chainrule.errors import GradientError
from chainrule.gradients.compare import Plan
from chainrule.gradients.problem import Problem, as_real

DEAR = 0.1  # seconds; above this an evaluation is dear
_MOST_ELEMENTS = 2_000_000


class Planner:
    """How thorough a check can be, from how long one evaluation takes."""

    def __init__(
        self, exhaustive: bool | None, samples: int, directions: int, method: str, deadline: float
    ) -> None:
        self.exhaustive, self.samples, self.directions = exhaustive, samples, directions
        self.method, self.deadline = method, deadline

    def plan(self, problem: Problem, seconds: float, batched: bool) -> Plan:
        elements = sum(as_real(leaf).numel() for leaf in problem.leaves.values())
        if self.exhaustive and elements > _MOST_ELEMENTS:
            raise GradientError(
                f"{problem.name} has {elements:,} elements, too many to compare one by one (at "
                f"most {_MOST_ELEMENTS:,}): leave exhaustive out, then random directions and "
                f"{self.samples} elements of each tensor are compared"
            )
        per_element = 2 * seconds * (0.2 if batched else 1.0)
        left = self.deadline - time.perf_counter()
        affordable = elements <= _MOST_ELEMENTS and elements * per_element < 0.7 * left
        exhaustive = affordable if self.exhaustive is None else self.exhaustive
        tensors = max(len(problem.leaves), 1)
        lines = 0.6 * left / (2 * seconds * tensors)  # evaluations come in pairs
        directions = min(self.directions, max(1, round(lines)))
        samples = min(self.samples, max(0, round(lines) - directions))
        if (not exhaustive and self.samples == 0) or self.directions == 0:
            directions, samples = self.directions, self.samples
        return Plan(exhaustive, samples, directions, self.method, seconds > DEAR, self.deadline)
