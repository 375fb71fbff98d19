"""Errors of numerical gradients: order of the step, best step, rounding."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, shown, until
from chainrule.study.practice.question import LEVELS, Draft, Family

CENTRAL = "central difference: (f(x + h) - f(x - h)) / (2h)"
FORWARD = "forward difference: (f(x + h) - f(x)) / h"
_ORDERS = {"forward": 1, "central": 2}


def _order(drawn: Random, level: int) -> Draft:
    return (_smaller_step, _step_for, _best_steps)[level - 1](drawn)


def _truncation(kind: str, h: Fraction) -> Fraction:
    """The exact error for a function whose Taylor series is as simple as can be."""
    if kind == "forward":
        return ((1 + h) ** 2 - 1) / h - 2
    return ((1 + h) ** 3 - (1 - h) ** 3) / (2 * h) - 3


def _smaller_step(drawn: Random) -> Draft:
    kind, times = drawn.choice(tuple(_ORDERS)), drawn.randint(2, 12)
    right = times ** _ORDERS[kind]
    power = "x^2" if kind == "forward" else "x^3"
    h = Fraction(1, 10)
    return Draft(
        text=f"The step h of a {kind} difference is made {times} times smaller. How many times "
        "smaller does its error become, for a smooth function?",
        conventions=(FORWARD if kind == "forward" else CENTRAL, "rounding does not matter yet"),
        expected=Number(right, "times"),
        proved=_truncation(kind, h) / _truncation(kind, h / times),
        way=f"exact fractions for {power} at x = 1",
        mistakes=mistaken(
            (times ** (3 - _ORDERS[kind]), "takes the order of the other kind of difference"),
            (times**3, "takes the power of h in the numerator, before the division"),
            (2 * times, "doubles instead of squaring"),
            (times**4, "takes the order of Richardson's extrapolation"),
        ),
        solution=(
            f"the error of a {kind} difference goes with h^{_ORDERS[kind]}",
            f"{times}^{_ORDERS[kind]} = {right}",
        ),
        experiment="centred-differences",
    )  # fmt: skip


def _step_for(drawn: Random) -> Draft:
    """From one error to the step at which another is reached."""
    kind, factor = drawn.choice(tuple(_ORDERS)), drawn.choice((4, 9, 16, 25, 100, 400))
    step, error = drawn.choice((0.2, 0.4, 0.5, 0.8)), drawn.choice((2, 4, 5, 8))
    right = (factor ** (1 / _ORDERS[kind])) / step
    exact = Fraction(str(step))
    ratio = _truncation(kind, exact) / _truncation(kind, exact / 2)
    order = math.log2(float(ratio))
    return Draft(
        text=f"With h = {shown(step)} the error of a {kind} difference of a smooth function is "
        f"{error} %. Its error is to be {factor} times smaller. What must `1/h` be?",
        conventions=(FORWARD if kind == "forward" else CENTRAL, "rounding does not matter yet"),
        expected=Number(right),
        proved=factor ** (1 / order) / step,
        way="measuring the order of the error by exact fractions with h and h/2",
        mistakes=mistaken(
            (factor ** (1 / (3 - _ORDERS[kind])) / step, "takes the order of the other kind"),
            (1 / step, "leaves the step as it is"),
            (factor**2 / step, "squares where the root is due"),
            (factor ** (1 / 3) / step, "takes an error of the order h^3"),
        ),
        solution=(
            f"the error goes with h^{_ORDERS[kind]}: h must be {factor}^(1/{_ORDERS[kind]}) = "
            f"{shown(factor ** (1 / _ORDERS[kind]))} times smaller",
            f"1/h = {shown(1 / step)} * {shown(factor ** (1 / _ORDERS[kind]))} = {shown(right)}",
        ),
        experiment="centred-differences",
    )  # fmt: skip


_BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def _best_steps(drawn: Random) -> Draft:
    """The best step balances rounding, eps / h, and truncation, h^order."""
    kind = drawn.choice(tuple(_ORDERS))
    coarse, fine = sorted(drawn.sample(tuple(_BITS), 2), key=_BITS.__getitem__)
    bits = _BITS[fine] - _BITS[coarse]
    scale, root = drawn.choice((1, 2, 4, 10)), 1 / (_ORDERS[kind] + 1)
    right = 2.0 ** (bits * root)
    eps = 2.0 ** -_BITS[coarse], 2.0 ** -_BITS[fine]
    best = [_best_step(one, _ORDERS[kind], scale) for one in eps]
    return Draft(
        text=f"The error of a {kind} difference is bounded by `{scale} * eps / h + "
        f"{'h' if kind == 'forward' else 'h^2'}`: rounding and truncation. {coarse} has eps = "
        f"2^-{_BITS[coarse]}, {fine} 2^-{_BITS[fine]}. By which factor is the best step h for "
        f"{coarse} larger than that for {fine}?",
        conventions=("the best step makes the bound smallest",),
        expected=Number(right),
        proved=best[0] / best[1],
        way="looking for the smallest bound with both precisions",
        mistakes=mistaken(
            (2.0**bits, "takes steps in proportion to eps"),
            (2.0 ** (bits / (4 - _ORDERS[kind])) if kind == "central" else 2.0 ** (bits / 3),
             "takes the root for the other kind of difference"),
            (1.0, "takes the same step for both"),
            (1 / right, "gives the factor the other way round"),
            (2.0 ** (bits / 4), "takes the fourth root"),
        ),
        solution=(
            f"the bound is smallest where h^{_ORDERS[kind] + 1} is in proportion to eps",
            f"the ratio of eps is 2^{bits}; its root of order {_ORDERS[kind] + 1} is "
            f"{shown(right)}",
        ),
        experiment="centred-differences",
    )  # fmt: skip


def _best_step(eps: float, order: int, scale: int) -> float:
    """Where the slope of the bound along ln h changes sign, by halving the interval."""
    low, high = -60.0, 5.0
    for _ in range(70):
        middle = (low + high) / 2
        h = math.exp(middle)
        low, high = (middle, high) if order * h**order < scale * eps / h else (low, middle)
    return math.exp((low + high) / 2)


def _rounding(drawn: Random, level: int) -> Draft:
    """One unit in the last place of the loss, seen through the division by 2h."""

    def draw() -> tuple[float, float]:
        return float(drawn.choice((3, 5, 10, 20, 50, 100, 200, 500))), drawn.choice(
            (1e-3, 1e-4, 1e-5, 1e-6, 2e-5, 5e-5, 2e-4))  # fmt: skip

    def change(found: tuple[float, float]) -> float:
        return float(np.spacing(np.float32(found[0]))) / (2 * found[1])

    loss, step = until(draw, lambda found: 0.05 < change(found) < 100)
    spacing = 2.0 ** (math.floor(math.log2(loss)) - 23)
    right = spacing / (2 * step)
    given = f", where numbers are {spacing:.3g} apart," if level == 1 else ""
    return Draft(
        text=f"A loss near {shown(loss)} is computed in float32{given} and a central difference is "
        f"taken with h = {shown(step)}. By how much does it change, if f(x + h) comes out one "
        "float32 number higher?",
        conventions=(CENTRAL, "float32 has 24 significant bits"),
        expected=Number(right, close=0.01),
        proved=change((loss, step)),
        way="NumPy's spacing of float32 numbers",
        mistakes=mistaken(
            (2 * right, "divides by h instead of 2h"),
            (2.0**-23 / (2 * step), "takes the spacing at 1"),
            (2.0 ** (math.floor(math.log2(loss)) - 52) / (2 * step), "takes the spacing of "
             "float64"),
            (2.0**-23 * loss / (2 * step) * 2, "takes the spacing in proportion, and divides by h"),
            (spacing, "forgets to divide by the step"),
        ),
        solution=(
            f"float32 numbers near {shown(loss)} are 2^({math.floor(math.log2(loss))} - 23) = "
            f"{spacing:.4g} apart",
            f"{spacing:.4g} / (2 * {shown(step)}) = {shown(right)}: such noise is why checks run "
            "in float64",
        ),
        experiment="centred-differences",
    )  # fmt: skip


FAMILIES = (
    Family("difference-order", "gradient-checks", "error and step of differences", LEVELS, _order),
    Family("difference-rounding", "gradient-checks", "rounding in a gradient check", (1, 2),
           _rounding),
)  # fmt: skip
