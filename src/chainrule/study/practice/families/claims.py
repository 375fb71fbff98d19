"""Claim: a statement with numbers, its truth by the theory, and its truth by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from torch import Tensor

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Claim:
    """A statement that is true or false.

    Attributes:
        text: the statement.
        holds: whether it is true, by the formula.
        measured: whether it is true, by trying.
        told: what was tried, with the number that came out.
    """

    text: str
    holds: bool
    measured: bool
    told: str


@dataclass(frozen=True)
class Fact:
    """A kind of statement of the course.

    Attributes:
        level: 1 to 3.
        experiment: of ``chainrule study`` that shows it.
        draw: random numbers to a claim.
    """

    level: int
    experiment: str
    draw: Callable[[Random], Claim]


def either(drawn: Random, right: _Value, wrong: Sequence[_Value]) -> _Value:
    """The right value or, every other time, a wrong one."""
    others = [value for value in wrong if value != right]
    return right if drawn.random() < 0.5 or not others else drawn.choice(others)


def close(one: float, two: float, share: float = 1e-6) -> bool:
    """Equal but for rounding, or for what chance makes of it."""
    return abs(one - two) <= share * max(abs(one), abs(two), 1e-9)


def gradient_of(tensor: Tensor) -> Tensor:
    """The gradient that backward has left."""
    assert tensor.grad is not None
    return tensor.grad
