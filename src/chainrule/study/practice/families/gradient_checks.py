"""Gradient checks: differences in exact fractions, proved in float64, and their verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import numpy as np

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families import difference_errors, gradient_verdicts
from chainrule.study.practice.families.difference_errors import CENTRAL, FORWARD
from chainrule.study.practice.families.drawing import inner, mistaken, row, shown, signed, until
from chainrule.study.practice.question import LEVELS, Draft, Family


@dataclass(frozen=True)
class _Polynomial:
    """a x^3 + b x^2 + c x."""

    a: int
    b: int
    c: int

    def exact(self, x: Fraction) -> Fraction:
        return self.a * x**3 + self.b * x**2 + self.c * x

    def slope(self, x: Fraction) -> Fraction:
        return 3 * self.a * x**2 + 2 * self.b * x + self.c

    def floating(self, x: float) -> float:
        """The same by Horner's rule in float64."""
        return float(np.polyval([self.a, self.b, self.c, 0], x))

    @property
    def text(self) -> str:
        cubed = f"{self.a}x^3 " if self.a else ""
        first = cubed + (f"{signed(self.b)}x^2" if self.a else f"{self.b}x^2")
        return f"{first} {signed(self.c)}x"


def _polynomial(drawn: Random, cubic: bool) -> _Polynomial:
    some = (-4, -3, -2, 2, 3, 4)
    return _Polynomial(drawn.choice(some) if cubic else 0, drawn.choice(some), drawn.choice(some))


def _quotient(drawn: Random, level: int) -> Draft:
    f, step = _polynomial(drawn, level > 1), Fraction(drawn.choice(("1/10", "1/5", "1/2")))
    x = Fraction(drawn.choice((-3, -2, -1, 1, 2, 3)))
    forward = (f.exact(x + step) - f.exact(x)) / step
    central = (f.exact(x + step) - f.exact(x - step)) / (2 * step)
    slope = f.slope(x)
    if min(abs(forward), abs(central), abs(slope), abs(central - slope) if level > 1 else 1) < 0.02:
        return _quotient(drawn, level)
    if level == 3:
        return _error(f, x, step)
    right, rule = (forward, FORWARD) if level == 1 else (central, CENTRAL)
    kind = "forward" if level == 1 else "central"
    ends = (x + step, x) if level == 1 else (x + step, x - step)
    h, at = float(step), float(x)
    width = h if level == 1 else 2 * h
    high, low = (f.exact(end) for end in ends)
    return Draft(
        text=f"What is the {kind} difference of `f(x) = {f.text}` at x = {shown(at)} with the step "
        f"h = {shown(h)}?",
        conventions=(rule,),
        expected=Number(float(right)),
        proved=(f.floating(at + h) - f.floating(at if level == 1 else at - h)) / width,
        way="NumPy in float64",
        mistakes=mistaken(
            (float(slope), "gives the derivative itself"),
            (float(central if level == 1 else forward), "takes the other kind of difference"),
            (float(right * (Fraction(1, 2) if level == 1 else 2)), "divides by the wrong multiple "
             "of h"),
            (float(high - low), "forgets to divide by the step"),
            (float((f.exact(x) - f.exact(x - step)) / step), "takes the backward difference"),
            (float(high + low) / width, "adds both values instead of subtracting"),
        ),
        solution=(
            f"f({shown(float(ends[0]))}) = {shown(float(high))}, f({shown(float(ends[1]))}) = "
            f"{shown(float(low))}",
            f"({shown(float(high))} - {inner(float(low))}) / {shown(width)} = "
            f"{shown(float(right))}",
        ),
        experiment="centred-differences",
    )  # fmt: skip


def _error(f: _Polynomial, x: Fraction, step: Fraction) -> Draft:
    """By Taylor's formula the error of the central difference of a cubic is a h^2."""
    h, at, right = float(step), float(x), float(f.a * step**2)
    quotient = (f.floating(at + h) - f.floating(at - h)) / (2 * h)
    derivative = float(np.polyval([3 * f.a, 2 * f.b, f.c], at))
    forward = (f.exact(x + step) - f.exact(x)) / step - f.slope(x)
    return Draft(
        text=f"By how much is the central difference of `f(x) = {f.text}` at x = {shown(at)} with "
        f"h = {shown(h)} larger than the derivative there? (A minus sign if it is smaller.)",
        conventions=(CENTRAL,),
        expected=Number(right),
        proved=quotient - derivative,
        way="NumPy in float64",
        mistakes=mistaken(
            (0.0, "thinks that central differences are exact, as they are up to degree 2"),
            (float(forward), "takes the forward difference"),
            (-right, "takes the wrong sign"),
            (right / h, "takes an error of the order of h"),
            (6 * right, "takes the third derivative without the factor 1/6"),
        ),
        solution=(
            "f(x + h) - f(x - h) = 2h f'(x) + 2h^3 f'''(x) / 6 for a cubic",
            f"the quotient is too large by h^2 f''' / 6 = {shown(h)}^2 * {f.a} = {shown(right)}",
        ),
        experiment="centred-differences",
    )


def _relative(drawn: Random, level: int) -> Draft:
    return _of_numbers(drawn) if level == 1 else _of_vectors(drawn)


def _of_numbers(drawn: Random) -> Draft:
    unit = drawn.choice((0.01, 0.1, 1.0))
    analytic = round(drawn.choice((-1, 1)) * drawn.randint(12, 60) * unit, 2)
    numerical = round(analytic * drawn.choice((0.6, 0.75, 0.8, 0.9, 1.1, 1.25, 1.5, -1)), 3)
    apart = abs(analytic - numerical)
    sizes = abs(analytic), abs(numerical)
    right = 100 * apart / max(sizes)
    pair = np.array([analytic, numerical])
    return Draft(
        text=f"Backpropagation gives {shown(analytic)} for an element of the gradient, a central "
        f"difference {shown(numerical)}. What is their relative error, in percent?",
        conventions=("relative error: |a - n| / max(|a|, |n|)",),
        expected=Number(right, "%"),
        proved=100 * float(np.ptp(pair) / np.abs(pair).max()),
        way="NumPy",
        mistakes=mistaken(
            (100 * apart / sum(sizes), "divides by the sum of both"),
            (100 * apart / min(sizes), "divides by the smaller one"),
            (100 * apart, "gives the absolute error"),
            (100 * abs(sizes[0] - sizes[1]) / max(sizes), "forgets the signs"),
            (200 * apart / max(sizes), "divides by half the larger one"),
        ),
        solution=(
            f"|{shown(analytic)} - {inner(numerical)}| = {shown(apart)}",
            f"{shown(apart)} / {shown(max(sizes))} = {shown(right)} %",
        ),
        experiment="centred-differences",
    )  # fmt: skip


def _of_vectors(drawn: Random) -> Draft:
    """The norms of whole vectors: 3-4-5 and its like."""
    scale = drawn.choice((1, 2, 3, 0.5))
    difference = [item * scale * drawn.choice((-1, 1)) for item in drawn.choice(
        ([3, 4], [4, 3], [5, 12], [0, 2], [1, 0], [6, 8]))]  # fmt: skip
    analytic = until(
        lambda: [float(drawn.randint(-20, 20)) for _ in range(2)], lambda found: all(found)
    )
    numerical = [a + d for a, d in zip(analytic, difference, strict=True)]
    norms = math.hypot(*analytic), math.hypot(*numerical)
    apart = math.hypot(*difference)
    right = 100 * apart / max(norms)
    a, n = np.array(analytic), np.array(numerical)
    proved = 100 * np.linalg.norm(a - n) / max(np.linalg.norm(a), np.linalg.norm(n))
    return Draft(
        text=f"The analytic gradient is `{row(analytic)}`, the numerical one `{row(numerical)}`. "
        "What is the relative error of the whole vectors, in percent?",
        conventions=("relative error: |a - n| / max(|a|, |n|) with Euclidean norms",),
        expected=Number(right, "%"),
        proved=float(proved),
        way="NumPy's norms",
        mistakes=mistaken(
            (100 * apart / sum(norms), "divides by the sum of both norms"),
            (100 * apart / min(norms), "divides by the smaller norm"),
            (100 * abs(norms[0] - norms[1]) / max(norms), "compares the norms only"),
            (100 * sum(map(abs, difference)) / max(norms), "adds the elements of the difference"),
            (100 * apart**2 / max(norms) ** 2, "forgets the roots"),
        ),
        solution=(
            f"difference {row(difference)}, norm {shown(apart)}; larger norm {shown(max(norms))}",
            f"{shown(apart)} / {shown(max(norms))} = {shown(right)} %",
        ),
    )  # fmt: skip


FAMILIES = (
    Family("difference-quotient", "gradient-checks", "forward and central differences", LEVELS,
           _quotient),
    Family("relative-error", "gradient-checks", "relative error of two gradients", (1, 2),
           _relative),
    *difference_errors.FAMILIES,
    *gradient_verdicts.FAMILIES,
)  # fmt: skip
