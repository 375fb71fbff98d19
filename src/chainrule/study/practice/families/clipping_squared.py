"""Clipping that divides by the squared norm, as some lecture slides have it, and what it does."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.drafting import (
    enough_mistakes,
    listed,
    numbers,
    shown,
    vectors,
)
from chainrule.study.practice.families.gradient_vectors import (
    SQUARED,
    as_written,
    cut,
    gradient,
    norm_of,
    scaled,
)
from chainrule.study.practice.question import Draft


@enough_mistakes
def by_squared_norm(drawn: Random, level: int) -> Draft:
    """The norm afterwards (1), the gradient (2), what a longer gradient becomes (3)."""
    while True:
        g = gradient(drawn, 2 if level == 1 else 3)
        norm, bound = norm_of(g), float(drawn.choice((2, 3, 4, 5, 10, 20, 50, 100)))
        longer = drawn.choice((2, 3, 5, 10)) if level == 3 else 1
        least = min(map(abs, g)) / norm if level == 2 else 1  # of the answers, away from 0
        if bound < 0.8 * norm**2 and bound / norm / longer * least > 0.15:
            break
    ran = as_written(g, bound)
    told = f"A program clips a gradient by {SQUARED}, with t = {shown(bound)}."
    if level == 2:
        return _squared_vector(g, bound, told)
    n = norm * longer
    right = bound / n
    proved = float(np.linalg.norm(as_written(scaled(g, longer), bound) if level == 3 else ran))
    begun = (
        f"Then `g = {listed(g)}` becomes {longer} times as long before clipping. What is the norm "
        f"of that longer gradient after clipping?" if level == 3 else
        f"What is the norm of `g = {listed(g)}` afterwards?"
    )  # fmt: skip
    return Draft(
        text=f"{told} {begun}",
        conventions=("s is the squared norm, as written", "the norm is Euclidean"),
        expected=Number(right),
        proved=proved,
        way="NumPy running these lines",
        mistakes=numbers(
            (bound, "gives the threshold, as clipping by the norm itself would"),
            (math.sqrt(bound), "takes the threshold for a bound of the squared norm"),
            (bound / norm**2, "gives the factor instead of the norm"),
            (norm * longer, "gives the norm from before"),
            (bound / norm * longer if level == 3 else norm / bound,
             "lets the clipped gradient grow with the gradient" if level == 3 else
             "divides the wrong way round"),
            (bound / norm if level == 3 else 1.0,
             "gives the norm of the shorter gradient" if level == 3 else "brings the norm to 1"),
        ),
        solution=(
            f"norm = {shown(n)}, s = {shown(n**2)}, above {shown(bound)}",
            f"norm afterwards: {shown(n)} x {shown(bound)} / {shown(n**2)} = t/norm = "
            f"{shown(right)}",
            "the longer the gradient, the shorter it becomes: the norm itself should divide",
        ),
        experiment="recurrent-gradients",
    )  # fmt: skip


def _squared_vector(g: list[float], bound: float, told: str) -> Draft:
    square = sum(item * item for item in g)
    right = scaled(g, bound / square)
    return Draft(
        text=f"{told} What becomes of `g = {listed(g)}`?",
        conventions=("s is the squared norm, as written",),
        expected=Vector(tuple(right)),
        proved=as_written(g, bound),
        way="NumPy running these lines",
        mistakes=vectors(
            (scaled(g, min(1.0, bound / math.sqrt(square))), "divides by the norm"),
            (scaled(g, math.sqrt(bound / square)), "brings the squared norm to the threshold"),
            (cut(g, bound), "cuts each element by itself"),
            (scaled(g, 1 / square), "forgets to multiply by t"),
            (scaled(g, bound / sum(map(abs, g))), "divides by the sum of absolute values"),
        ),
        solution=(
            f"s = {shown(square)}, above {shown(bound)}",
            f"times {shown(bound)}/{shown(square)}: {listed(right)}",
            f"its norm is now t/norm = {shown(bound / math.sqrt(square))}, not t",
        ),
        experiment="recurrent-gradients",
    )
