"""Masks: all of them with their probabilities, for dropout and its like."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from random import Random

from chainrule.study.practice.families.drawing import (
    quarters,
)

CHANCE = "p is the probability to drop, as in PyTorch"


INVERTED = "inverted dropout: in training what is kept is divided by 1 - p"


PLAIN = "plain dropout: in training what is kept is not scaled; in evaluation it is made up for"


ALL_MASKS = "averaging over all masks with their probabilities"


CHANCES = (0.2, 0.25, 0.5, 0.75)


def masks(count: int, drop: float) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every mask of 0 and 1, with its probability."""
    for mask in itertools.product((0, 1), repeat=count):
        kept = sum(mask)
        yield mask, (1 - drop) ** kept * drop ** (count - kept)


def average(count: int, drop: float, value: Callable[[tuple[int, ...]], float]) -> float:
    """The expectation of a value over all masks, one after the other."""
    return sum(chance * value(mask) for mask, chance in masks(count, drop))


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def weights_of(drawn: Random, count: int) -> list[float]:
    return [quarters(drawn, -3, 3, 0.5) for _ in range(count)]
