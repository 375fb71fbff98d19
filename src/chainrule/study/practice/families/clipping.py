"""Gradient clipping by hand: by the norm, by value, and by the squared norm."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np

from chainrule.study.practice.expected import Vector
from chainrule.study.practice.families.clipping_by_value import by_value
from chainrule.study.practice.families.clipping_squared import by_squared_norm
from chainrule.study.practice.families.drafting import (
    enough_mistakes,
    factor,
    listed,
    shown,
    vectors,
)
from chainrule.study.practice.families.gradient_vectors import (
    BY_NORM,
    BY_VALUE,
    EPSILON,
    SQUARED,
    as_written,
    clipped_by_pytorch,
    cut,
    cut_by_pytorch,
    gradient,
    norm_of,
    scaled,
)
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

_CLOSE = 1e-9


@enough_mistakes
def _by_norm(drawn: Random, level: int) -> Draft:
    """A vector of 2 (level 1) or 3 (level 2, sometimes short enough); two tensors (level 3)."""
    if level == 3:
        return _two_tensors(drawn)
    g = gradient(drawn, 2 if level == 1 else 3)
    norm = norm_of(g)
    short = level == 2 and drawn.random() < 0.25
    bound = norm + drawn.choice((1, 2, 5)) if short else _below(drawn, norm)
    right = scaled(g, min(1.0, bound / norm))
    return Draft(
        text=f"The gradient `{listed(g)}` is clipped by its norm to {shown(bound)}. What is it "
        "afterwards?",
        conventions=(BY_NORM, EPSILON),
        expected=Vector(tuple(right)),
        proved=clipped_by_pytorch([g], bound)[0],
        way="PyTorch's clip_grad_norm_",
        mistakes=vectors(
            (cut(g, bound) if not short else scaled(g, bound / norm),
             "cuts each element by itself" if not short else "lengthens a gradient that is short "
             "enough"),
            (scaled(g, bound / norm**2), "divides by the squared norm"),
            (scaled(g, 1 / norm), "brings the norm to 1, whatever the threshold"),
            (scaled(g, bound / sum(map(abs, g))), "divides by the sum of absolute values"),
            (scaled(g, bound / max(map(abs, g))), "divides by the largest element"),
            (scaled(g, norm / bound), "divides by the threshold instead of the norm"),
        ),
        solution=(
            f"norm = sqrt({' + '.join(f'{factor(item)}^2' for item in g)}) = {shown(norm)}",
            f"that is below {shown(bound)}: nothing changes" if short else
            f"times {shown(bound)}/{shown(norm)}: {listed(right)}",
        ),
        experiment="recurrent-gradients",
    )  # fmt: skip


def _below(drawn: Random, norm: float) -> float:
    """A threshold clearly below a norm, but not 1, which hides mistakes."""
    choices = [item for item in (0.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0, 10.0) if item < 0.9 * norm]
    return drawn.choice(choices)


def _two_tensors(drawn: Random) -> Draft:
    """The norm is that of all gradients together."""
    g = gradient(drawn, 3)
    weight, bias = g[:2], g[2:]
    norm = norm_of(g)
    bound = _below(drawn, norm)
    right = scaled(weight, bound / norm)
    alone = norm_of(weight)
    return Draft(
        text=f"A network has two parameters with the gradients `dL/dw = {listed(weight)}` and "
        f"`dL/db = {listed(bias)}`. They are clipped by their norm to {shown(bound)}. What is "
        "`dL/dw` afterwards?",
        conventions=("the norm is that of all gradients taken together as one vector", BY_NORM,
                     EPSILON),
        expected=Vector(tuple(right)),
        proved=clipped_by_pytorch([weight, bias], bound)[0],
        way="PyTorch's clip_grad_norm_ of both parameters",
        mistakes=vectors(
            (scaled(weight, min(1.0, bound / alone)), "clips each parameter alone"),
            (cut(weight, bound), "cuts each element by itself"),
            (scaled(weight, bound / norm**2), "divides by the squared norm"),
            (scaled(weight, bound / (alone + norm_of(bias))), "adds the norms of both parameters"),
            (scaled(weight, 1 / norm), "brings the norm to 1, whatever the threshold"),
        ),
        solution=(
            f"norm of all three numbers: sqrt({' + '.join(f'{factor(x)}^2' for x in g)}) = "
            f"{shown(norm)}",
            f"both are multiplied by {shown(bound)}/{shown(norm)}: dL/dw = {listed(right)}",
        ),
        experiment="recurrent-gradients",
    )  # fmt: skip


def _claims(drawn: Random, level: int) -> Draft:
    """What holds of one gradient, clipped in three ways."""
    while True:
        g = gradient(drawn, 2 if level == 1 else 3)
        bound = drawn.choice((0.5, 1.5, 2.0, 3.0, 4.0, 6.0))
        sizes = [abs(item) for item in g]
        if bound not in sizes and abs(norm_of(g) - bound) > 0.2 and norm_of(g) ** 2 > 1.1 * bound:
            break
    short = min(1.0, bound / norm_of(g))
    made = (scaled(g, short), cut(g, bound), scaled(g, bound / norm_of(g) ** 2))
    ran = (clipped_by_pytorch([g], bound)[0], cut_by_pytorch(g, bound), as_written(g, bound))
    names = ("by norm", "by value", "by the squared norm")
    texts = [f"clipping {name} keeps its direction" for name in names]
    texts += [f"clipping {name} leaves a norm of at most {shown(bound)}" for name in names[:2]]
    texts += [f"clipping {names[2]} leaves a norm of {shown(bound)}"]
    cosines = [_cosine(g, item) for item in made]
    truths = [1 - item < _CLOSE for item in cosines]
    truths += [norm_of(item) <= bound + _CLOSE for item in made[:2]]
    truths += [abs(norm_of(made[2]) - bound) < _CLOSE]
    whys = [f"the result is {listed(item)}, with a cosine of {shown(c)} to the gradient"
            for item, c in zip(made, cosines, strict=True)]  # fmt: skip
    whys += [f"the result {listed(item)} has the norm {shown(norm_of(item))}" for item in made]
    return Draft(
        text=f"The gradient `{listed(g)}` is clipped with the threshold t = {shown(bound)} in "
        "three ways. What holds? Choose all that do.",
        conventions=(BY_NORM, BY_VALUE, f"by the squared norm: {SQUARED}"),
        options=tuple(
            Option(text, right, f"{text[0].upper()}{text[1:]}: {why}.")
            for text, right, why in zip(texts, truths, whys, strict=True)
        ),
        proved=_measured(g, ran, bound),
        way="PyTorch's clipping and NumPy",
        several=True,
        solution=(
            f"by norm {listed(made[0])}, by value {listed(made[1])}, by the squared norm "
            f"{listed(made[2])}",
            "one factor for all elements keeps the direction; cutting each by itself does not, "
            "unless all or none are cut alike",
            f"by the squared norm the norm becomes t/norm = {shown(norm_of(made[2]))}",
        ),
        experiment="recurrent-gradients",
    )


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / norm_of(one) / norm_of(other)


def _measured(g: Sequence[float], ran: Sequence[Sequence[float]], bound: float) -> tuple[bool, ...]:
    """The claims of the results that were computed by running."""
    before = np.array(g) / np.linalg.norm(g)
    results = [np.array(item) for item in ran]
    norms = [float(np.linalg.norm(item)) for item in results]
    kept = [np.allclose(item / norm, before, rtol=0, atol=1e-6)
            for item, norm in zip(results, norms, strict=True)]  # fmt: skip
    return (*kept, *(norm <= bound + 1e-6 for norm in norms[:2]), abs(norms[2] - bound) < 1e-6)


FAMILIES = (
    Family("clip-by-norm", "gradient-clipping", "a gradient clipped by its norm", LEVELS,
           _by_norm),
    Family("clip-by-value", "gradient-clipping", "a gradient clipped by value", LEVELS, by_value),
    Family("clip-by-squared-norm", "gradient-clipping", "clipping that divides by the square",
           LEVELS, by_squared_norm),
    Family("clipping-claims", "gradient-clipping", "what clipping keeps", (1, 2), _claims),
)  # fmt: skip
