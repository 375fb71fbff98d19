"""Clipping by value: the gradient, its norm, and how far it has turned."""

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
    BY_VALUE,
    cut,
    cut_by_pytorch,
    gradient,
    norm_of,
    scaled,
)
from chainrule.study.practice.question import Draft


@enough_mistakes
def by_value(drawn: Random, level: int) -> Draft:
    """The vector (level 1), its norm (level 2), the angle by which it has turned (level 3)."""
    while True:
        g = gradient(drawn, 3)
        sizes = sorted(map(abs, g))
        bound = drawn.choice((1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0))
        if sizes[0] < bound < sizes[-1] and bound not in sizes:
            break
    clipped, norm = cut(g, bound), norm_of(g)
    if level == 1:
        return _cut_vector(g, bound, clipped)
    cosine = sum(a * b for a, b in zip(g, clipped, strict=True)) / norm / norm_of(clipped)
    right = norm_of(clipped) if level == 2 else cosine
    by_pytorch = np.array(cut_by_pytorch(g, bound))
    before = np.array(g)
    measured = float(np.linalg.norm(by_pytorch))
    proved = measured if level == 2 else float(before @ by_pytorch / np.linalg.norm(g) / measured)
    asked = "norm" if level == 2 else "cosine of the angle by which it has turned"
    if level == 3 and 1 - cosine < 0.02:
        return by_value(drawn, level)
    slips = (
        [(bound, "gives the threshold, which bounds the elements, not the norm"),
         (bound * math.sqrt(len(g)), "takes every element as cut"),
         (norm, "gives the norm from before"), (sum(map(abs, clipped)), "adds up absolute values"),
         (max(map(abs, clipped)), "takes the largest element")]
        if level == 2 else
        [(1.0, "says that the direction is kept, as clipping by norm keeps it"),
         (norm_of(clipped) / norm, "gives the ratio of the norms"),
         (math.sqrt(1 - cosine**2), "gives the sine"), (math.acos(cosine), "gives the angle"),
         (cosine**2, "squares it")]
    )  # fmt: skip
    return Draft(
        text=f"The gradient `{listed(g)}` is clipped by value to {shown(bound)}. What is "
        f"{'its' if level == 2 else 'the'} {asked}{' afterwards' if level == 2 else ''}?",
        conventions=(BY_VALUE, "lengths are Euclidean norms"),
        expected=Number(right),
        proved=proved,
        way="PyTorch's clip_grad_value_ and NumPy",
        mistakes=numbers(*slips),
        solution=(
            f"each element by itself: {listed(clipped)}",
            f"norm = {shown(norm_of(clipped))}" if level == 2 else
            f"cosine = {listed(g)} . {listed(clipped)} / ({shown(norm)} x "
            f"{shown(norm_of(clipped))}) = {shown(cosine)}",
        ),
    )  # fmt: skip


def _cut_vector(g: list[float], bound: float, clipped: list[float]) -> Draft:
    norm = norm_of(g)
    return Draft(
        text=f"The gradient `{listed(g)}` is clipped by value to {shown(bound)}. What is it "
        "afterwards?",
        conventions=(BY_VALUE,),
        expected=Vector(tuple(clipped)),
        proved=cut_by_pytorch(g, bound),
        way="PyTorch's clip_grad_value_",
        mistakes=vectors(
            (scaled(g, min(1.0, bound / norm)), "clips by the norm"),
            (scaled(g, bound / max(map(abs, g))), "shrinks all elements by the same factor"),
            ([min(bound, item) for item in g], "forgets that negative elements are cut too"),
            ([abs(item) for item in clipped], "loses the signs"),
            ([math.copysign(bound, item) for item in g], "sets small elements to the threshold"),
            ([item if abs(item) <= bound else 0.0 for item in g], "sets large elements to 0"),
        ),
        solution=(
            f"elements above {shown(bound)} become {shown(bound)}, those below {shown(-bound)} "
            f"become {shown(-bound)}",
            listed(clipped),
        ),
    )
