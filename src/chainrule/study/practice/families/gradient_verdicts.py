"""Verdicts on gradients: right, wrong or only a kink, by theory and by shrinking h."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import numpy as np

from chainrule.study.practice.families.difference_errors import CENTRAL
from chainrule.study.practice.families.drawing import signed
from chainrule.study.practice.question import LEVELS, Draft, Family, Option


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
        cubic = f" + {self.cubic if self.cubic > 1 else ''}x^3" if self.cubic else ""
        return f"{self.slope} * max(0, x {signed(-float(self.kink))}){cubic}"


_CASES = {
    "right": "right: both numbers agree",
    "step": "right: the function curves too much within h, without a kink",
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
        Option(text, name == found, _verdict(f, float(x), float(analytic), kink))
        for name, text in _CASES.items()
    )
    return Draft(
        text=f"`f(x) = {f.text}` is checked at x = {_digits(x)} with h = {_digits(step)}"
        f". Backpropagation gives {_digits(analytic)}, the central difference "
        f"{_digits(numerical)}. What about the gradient of backpropagation?",
        conventions=(CENTRAL, "float64; numbers that agree to 0.1 % agree"),
        options=options,
        proved=tuple(name == proved for name in _CASES),
        way="shrinking h, and comparing the slopes at both ends",
        solution=(
            f"the derivative at {_digits(x)} is {_digits(f.derivative(x))}",
            f"kink at {_digits(f.kink)}: " + ("within" if kink else "outside of")
            + f" {_digits(x - step)} to {_digits(x + step)}",
            _CASES[found],
        ),
        experiment="centred-differences",
    )  # fmt: skip


def _digits(value: Fraction) -> str:
    """In full: a rounded number would seem to be wrong."""
    return f"{float(value):.9g}"


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


def _verdict(f: _Bent, x: float, analytic: float, kink: bool) -> str:
    limit = _slope_of(f.floating, x, 1e-6)
    return (
        f"With h = 0.000001 the difference is {limit:.4g}, backpropagation gives {analytic:.4g}; "
        f"{'a' if kink else 'no'} kink lies within h of x."
    )


FAMILIES = (
    Family("gradient-verdict", "gradient-checks", "right, wrong or only a kink", LEVELS, _judged),
)  # fmt: skip
