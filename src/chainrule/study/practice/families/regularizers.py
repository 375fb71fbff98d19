"""Regularizers: the penalties R(w) that questions are about, as formulas and by chainrule.nn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch

from chainrule.nn.penalties import penalty
from chainrule.study.practice.families.drawing import quarters, until

STRENGTHS = (0.1, 0.2, 0.5, 2.0, 3.0)


@dataclass(frozen=True)
class Penalty:
    """R(W) as a sum of squares and of amounts, and how it is written.

    Attributes:
        squares: what multiplies the sum of w^2.
        amounts: what multiplies the sum of |w|.
        text: the formula.
    """

    squares: float
    amounts: float
    text: str

    def value(self, weights: Sequence[float]) -> float:
        """R by chainrule.nn: there L2 has the half, and the elastic net mixes with a share."""
        tensor = torch.tensor(weights, dtype=torch.float64)
        square, amount = (float(penalty([tensor], kind)) for kind in ("l2", "l1"))
        return 2 * self.squares * square + self.amounts * amount

    def gradient(self, weights: Sequence[float]) -> list[float]:
        """dR/dw by the formula; no weight is 0."""
        return [2 * self.squares * w + self.amounts * (1 if w > 0 else -1) for w in weights]


L2 = Penalty(1.0, 0.0, "R(w) = sum of w_i^2")
HALF_L2 = Penalty(0.5, 0.0, "R(w) = 1/2 sum of w_i^2")
L1 = Penalty(0.0, 1.0, "R(w) = sum of |w_i|")


def elastic(drawn: Random) -> Penalty:
    """A mixture of L1 and the halved L2."""
    share = drawn.choice((0.25, 0.5, 0.75))
    text = f"R(w) = {share:g} sum of |w_i| + {1 - share:g} x 1/2 sum of w_i^2"
    return Penalty((1 - share) / 2, share, text)


def weights_of(drawn: Random, level: int) -> list[float]:
    """Numbers of both signs, of which no two have the same amount."""
    size, step = (2, 1.0) if level == 1 else (3, 0.5)

    def draw() -> list[float]:
        return [quarters(drawn, -4, 4, step) for _ in range(size)]

    def telling(found: list[float]) -> bool:
        amounts = {abs(value) for value in found}
        return len(amounts) == size and min(found) < 0 < max(found) and bool(amounts - {1.0, 2.0})

    return until(draw, telling)
