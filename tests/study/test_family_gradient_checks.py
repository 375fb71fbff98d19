"""Gradient checks: every answer again in plain decimals, from the words of the question."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from tests.reference.practice import questions, right, rows

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.gradient_checks import FAMILIES
from chainrule.study.practice.question import Question


def function(text: str) -> Callable[[Decimal], Decimal]:
    """`f(x) = 2x^3 - 3x` as Python."""
    formula = re.search(r"f\(x\) = ([^`]*)`", text)[1]
    python = re.sub(r"(\d)x", r"\1*x", formula).replace("^", "**")
    python = re.sub(r"(?<![*\w])(\d+)(?![\w])", r"Decimal(\1)", python.replace("**", "^"))
    return lambda x: eval(python.replace("^", "**"), {"Decimal": Decimal, "x": x, "max": max})


def named(text: str, name: str) -> Decimal:
    return Decimal(re.search(rf"{name} = (-?[\d.]*\d(?:e-\d+)?)", text)[1])


def central(f: Callable[[Decimal], Decimal], x: Decimal, h: Decimal) -> Decimal:
    return (f(x + h) - f(x - h)) / (2 * h)


def quotient(text: str) -> float:
    f, x, h = function(text), named(text, "x"), named(text, "h")
    if "forward" in text:
        return float((f(x + h) - f(x)) / h)
    if "larger than the derivative" in text:
        return float(central(f, x, h) - central(f, x, Decimal("1e-9")))
    return float(central(f, x, h))


def relative(text: str) -> float:
    found = rows(text)
    if not found:
        found = [[float(x)] for x in re.search(
            r"gives (\S+) for .* difference (\S+)\. What", text).groups()]  # type: ignore[union-attr]  # fmt: skip
    a, n = found
    return 100 * math.dist(a, n) / max(math.hypot(*a), math.hypot(*n))


EXPONENTS = {"forward": 1, "central": 2}


def order(text: str) -> float:
    power = EXPONENTS[re.search(r"(forward|central) difference", text)[1]]
    times = re.search(r"(?:made|be) (\d+) times", text)
    if "is made" in text and times:
        return float(math.prod([int(times[1])] * power))
    if times:
        return int(times[1]) ** (1 / power) / float(named(text, "h"))
    bits = [int(b) for b in re.findall(r"2\^-(\d+)", text)]
    scale = int(re.search(r"`(\d+) \*", text)[1])
    # the slope of scale * eps / h + h^power is 0 at (scale * eps / power)^(1 / (power + 1))
    best = [(scale * 2.0**-b / power) ** (1 / (power + 1)) for b in bits]
    return best[0] / best[1]


def rounding(text: str) -> float:
    loss, h = float(re.search(r"near (\d+)", text)[1]), float(named(text, "h"))
    spacing = 2.0**-23
    while 2 * 2.0**23 * spacing <= loss:
        spacing *= 2
    return spacing / (2 * h)


SOLVERS = {
    "difference-quotient": quotient, "relative-error": relative, "difference-order": order,
    "difference-rounding": rounding,
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_recomputed_from_its_words(name: str) -> None:
    for question in questions(FAMILIES, name):
        found = right(question)
        assert isinstance(found, Number)
        assert found.value == pytest.approx(SOLVERS[name](question.text), rel=1e-6), question.id


def test_verdicts_from_both_sides() -> None:
    """The slope at the point, and whether those left and right of the kink lie within h."""
    for question in questions(FAMILIES, "gradient-verdict", 40):
        (chosen,) = (option.text for option in question.options if option.right)
        assert verdict(question) in chosen, question.id


def verdict(question: Question) -> str:
    text = question.text
    f, x, h = function(text), named(text, "x"), named(text, "h")
    x = Decimal(re.search(r"at x = (-?[\d.]*\d)", text)[1])
    found = re.search(r"gives (\S+), the central difference\s+(\S+)\. What", text)
    assert found
    slope = central(f, x, Decimal("1e-9"))
    if abs(slope - Decimal(found[1])) > Decimal("1e-3"):
        return "wrong"
    if abs(Decimal(found[2]) - slope) < Decimal("0.01"):
        return "agree"
    kink = Decimal(re.search(r"x - (\d+)\)", text)[1])
    return "kink" if x - h < kink < x + h else "curves too much"


def test_covers_all_families() -> None:
    assert {one.name for one in FAMILIES} == {*SOLVERS, "gradient-verdict"}
