"""Examples with scores and a right class, from which questions about losses are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from chainrule.study.practice.families.drafting import ORDINALS, halves, listed

MARGIN = "multiclass SVM (Weston and Watkins): `sum over j != y of max(0, s_j - s_y + 1)`"
SQUARED = "squared hinge: `sum over j != y of max(0, s_j - s_y + 1)^2`"
NATURAL = "softmax loss is `-ln p_y` with the natural logarithm"
BOTH = "svm-and-softmax"


@dataclass(frozen=True)
class Example:
    """Scores (or probabilities) of one example, and the place of its right class."""

    scores: tuple[float, ...]
    right: int

    @property
    def text(self) -> str:
        return f"`{listed(self.scores)}` (the {ORDINALS[self.right]} class is right)"

    @property
    def distances(self) -> list[float]:
        """``s_j - s_y + 1`` of the wrong classes."""
        own = self.scores[self.right]
        return [s - own + 1 for j, s in enumerate(self.scores) if j != self.right]

    @property
    def probabilities(self) -> list[float]:
        powers = [math.exp(s) for s in self.scores]
        return [item / sum(powers) for item in powers]


def scored(drawn: Random, classes: int) -> Example:
    """Scores away from every kink, with a class too close and one far enough."""
    while True:
        scores = tuple(halves(drawn, -3, 4) for _ in range(classes))
        example = Example(scores, drawn.randrange(classes))
        met = [distance > 0 for distance in example.distances]
        if 0 not in example.distances and any(met) and not all(met):
            return example


def likely(drawn: Random, classes: int) -> Example:
    """Probabilities in twentieths."""
    cuts = sorted(drawn.sample(range(1, 20), classes - 1))
    shares = [b - a for a, b in zip([0, *cuts], [*cuts, 20], strict=True)]
    return Example(tuple(share / 20 for share in shares), drawn.randrange(classes))


def tensors(batch: Sequence[Example]) -> tuple[Tensor, Tensor]:
    scores = torch.tensor([one.scores for one in batch], dtype=torch.float64)
    return scores, torch.tensor([one.right for one in batch])


def pytorch_svm(scores: Tensor, targets: Tensor, squared: bool, mean: bool) -> Tensor:
    """PyTorch's margin loss, which divides by the number of classes."""
    reduction = "mean" if mean else "sum"
    found = F.multi_margin_loss(scores, targets, p=2 if squared else 1, reduction=reduction)
    return found * scores.shape[1]


def hinge(distance: float, squared: bool) -> float:
    return max(0.0, distance) ** (2 if squared else 1)


def hinges(one: Example, squared: bool) -> float:
    return sum(hinge(distance, squared) for distance in one.distances)


def reduced(count: int, mean: bool) -> tuple[str, ...]:
    return () if count == 1 else (f"the {'mean' if mean else 'sum'} over the minibatch",)


def svm_slopes(one: Example, squared: bool) -> list[float]:
    """The gradient by the scores: 1 (or twice the hinge) for each class that is too close."""
    own = one.scores[one.right]
    distances = [s - own + 1 for s in one.scores]
    slopes = [(2 * d if squared else 1.0) if d > 0 else 0.0 for d in distances]
    slopes[one.right] = 0.0
    slopes[one.right] = -sum(slopes)
    return slopes
