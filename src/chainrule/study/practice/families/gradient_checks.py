"""Gradient checks: differences in exact fractions, proved in float64, and their verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import numpy as np

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import inner, mistaken, row, shown, signed, until
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

_CENTRAL = "central difference: (f(x + h) - f(x - h)) / (2h)"
_FORWARD = "forward difference: (f(x + h) - f(x)) / h"


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
    right, rule = (forward, _FORWARD) if level == 1 else (central, _CENTRAL)
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
        conventions=(_CENTRAL,),
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
        conventions=(_FORWARD if kind == "forward" else _CENTRAL, "rounding does not matter yet"),
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
        conventions=(_FORWARD if kind == "forward" else _CENTRAL, "rounding does not matter yet"),
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

    loss, step = until(draw, lambda found: 0.02 < change(found) < 100)
    spacing = 2.0 ** (math.floor(math.log2(loss)) - 23)
    right = spacing / (2 * step)
    given = f", where numbers are {spacing:.3g} apart," if level == 1 else ""
    return Draft(
        text=f"A loss near {shown(loss)} is computed in float32{given} and a central difference is "
        f"taken with h = {shown(step)}. By how much does it change, if f(x + h) comes out one "
        "float32 number higher?",
        conventions=(_CENTRAL, "float32 has 24 significant bits"),
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


@dataclass(frozen=True)
class _Bent:
    """slope * max(0, x - kink) + cubic * x^3, with an analytic derivative to be judged."""

    slope: int
    kink: Fraction
    cubic: int

    def exact(self, x: Fraction) -> Fraction:
        return self.slope * max(Fraction(0), x - self.kink) + self.cubic * x**3

    def derivative(self, x: Fraction) -> Fraction:
        return self.slope * (x > self.kink) + 3 * self.cubic * x**2

    def floating(self, x: float) -> float:
        return self.slope * max(0.0, x - float(self.kink)) + self.cubic * x**3

    @property
    def text(self) -> str:
        cubic = f" {signed(self.cubic)}x^3" if self.cubic else ""
        return f"{self.slope} * max(0, x {signed(-float(self.kink))}){cubic}"


_CASES = {
    "right": "right: both numbers agree",
    "step": "right: the difference comes from the step h, which is too long",
    "kink": "right: the difference comes from a kink between x - h and x + h",
    "wrong": "wrong",
}


def _judged(drawn: Random, level: int) -> Draft:
    """Level 1 has no curvature; 2 has; 3 plants a fault whose size is that of the others."""
    case = drawn.choice(("right", "kink", "wrong") if level == 1 else tuple(_CASES))
    cubic = 2 if case == "step" else drawn.choice((0, 0 if level == 1 else 1))
    f = _Bent(drawn.choice((2, 3, 4)), Fraction(drawn.choice((2, 3, 4))), cubic)
    steps = ("1/20", "1/50") if cubic else ("1/10", "1/20", "1/50")  # the curvature hardly shows
    step = Fraction(1, 2) if case == "step" else Fraction(drawn.choice(steps))
    side = drawn.choice((-1, 1))
    apart = step * Fraction(drawn.choice(("1/2", "1/4"))) if case == "kink" else Fraction(1)
    x = f.kink + side * apart
    numerical = (f.exact(x + step) - f.exact(x - step)) / (2 * step)
    analytic = f.derivative(x)
    if case == "wrong":
        off = Fraction(1, 5) if level < 3 else Fraction(f.slope, 4)
        analytic += drawn.choice((-1, 1)) * off
    kink = abs(x - f.kink) < step
    found = _case(float(analytic - f.derivative(x)), float(numerical - analytic), kink)
    proved = _by_shrinking(f, float(x), float(step), float(analytic))
    options = tuple(
        Option(text, name == found, _verdict(f, float(x), float(analytic)))
        for name, text in _CASES.items()
    )
    return Draft(
        text=f"`f(x) = {f.text}` is checked at x = {shown(float(x))} with h = {shown(float(step))}"
        f". Backpropagation gives {shown(float(analytic))}, the central difference "
        f"{shown(float(numerical))}. What about the gradient of backpropagation?",
        conventions=(_CENTRAL, "float64; numbers that agree to 0.1 % agree"),
        options=options,
        proved=tuple(name == proved for name in _CASES),
        way="shrinking h, and comparing the slopes at both ends",
        solution=(
            f"the derivative at {shown(float(x))} is {shown(float(f.derivative(x)))}",
            f"kink at {shown(float(f.kink))}: " + ("within" if kink else "outside of")
            + f" {shown(float(x - step))} to {shown(float(x + step))}",
            _CASES[found],
        ),
        experiment="centred-differences",
    )  # fmt: skip


def _case(fault: float, difference: float, kink: bool) -> str:
    if fault:
        return "wrong"
    if kink:
        return "kink"
    return "step" if abs(difference) > 0.01 else "right"


def _slope_of(f: Callable[[float], float], x: float, h: float) -> float:
    return (f(x + h) - f(x - h)) / (2 * h)


def _by_shrinking(f: _Bent, x: float, h: float, analytic: float) -> str:
    tiny = 1e-6
    if abs(_slope_of(f.floating, x, tiny) - analytic) > 1e-3:
        return "wrong"
    if abs(_slope_of(f.floating, x, h) - analytic) < 1e-2:
        return "right"
    places = np.linspace(x - h, x + h, 402)
    slopes = np.array([_slope_of(f.floating, float(place), tiny) for place in places])
    return "kink" if float(np.abs(np.diff(slopes)).max()) > 1 else "step"


def _verdict(f: _Bent, x: float, analytic: float) -> str:
    limit = _slope_of(f.floating, x, 1e-6)
    return f"With h = 0.000001 the difference is {limit:.4g}, backpropagation gives {analytic:.4g}."


FAMILIES = (
    Family("difference-quotient", "gradient-checks", "forward and central differences", LEVELS,
           _quotient),
    Family("relative-error", "gradient-checks", "relative error of two gradients", (1, 2),
           _relative),
    Family("difference-order", "gradient-checks", "error and step of differences", LEVELS, _order),
    Family("difference-rounding", "gradient-checks", "rounding in a gradient check", (1, 2),
           _rounding),
    Family("gradient-verdict", "gradient-checks", "right, wrong or only a kink", LEVELS, _judged),
)  # fmt: skip
