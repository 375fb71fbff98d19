"""Backpropagation: every gradient again by central differences of the equations as they stand."""

from __future__ import annotations

import math
import re
from random import Random

import pytest
from tests.reference import practice

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.backpropagation import FAMILIES
from chainrule.study.practice.question import Question

STEP = 1e-5
KNOWN = {
    "max": max, "min": min, "exp": math.exp, "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}  # fmt: skip
Numbers = dict[str, float]


def questions(name: str) -> list[Question]:
    return list(practice.questions(FAMILIES, name, 24))


def computed(formula: str, at: Numbers) -> float:
    """A formula as Python reads it: ``1{a > b, a > 0}`` is a truth."""
    python = re.sub(r"1\{(.*?)\}", lambda m: f"({m[1].replace(',', ' and')})", formula)
    return float(eval(python.replace("^", "**"), {}, {**KNOWN, **at}))


def run(equations: list[str], inputs: Numbers, held: Numbers) -> Numbers:
    """All values, some of them held at what is given."""
    at = {**inputs, **held}
    for line in equations:
        name, formula = line.split(" = ")
        at[name] = held[name] if name in held else computed(formula, at)
    return at


def slope(equations: list[str], inputs: Numbers, name: str, ends: Numbers) -> float:
    """The derivative of the weighted sum of some values by one name."""
    start = run(equations, inputs, {})[name]
    up, down = (run(equations, inputs, {name: start + h}) for h in (STEP, -STEP))
    return sum(weight * (up[end] - down[end]) for end, weight in ends.items()) / (2 * STEP)


def value(question: Question) -> float:
    right = practice.right(question)
    assert isinstance(right, Number)
    return right.value


@pytest.mark.parametrize("name", ["gate-gradient", "shared-variable"])
def test_numbers(name: str) -> None:
    for question in questions(name):
        equations, given = re.findall(r"`([^`]*)`", question.text)[:2]
        inputs = {key: float(x) for key, x in re.findall(r"(\w+) = (-?[\d.]+)", given)}
        end, by = re.findall(r"`d(\w+)/d(\w+)`", question.text)[-1]
        wanted = slope(equations.split("; "), inputs, by, {end: 1.0})
        assert value(question) == pytest.approx(wanted, rel=1e-4, abs=1e-4), question.text


@pytest.mark.parametrize("name", ["gate-formula", "convnet-formula"])
def test_formulas(name: str) -> None:
    drawn = Random(0)
    for question in questions(name):
        text = question.text
        equations = [line for part in re.findall(r"`([^`]* = [^`]*)`", text)
                     for line in part.split("; ") if not re.match(r"dL/d", line)]  # fmt: skip
        by = re.findall(r"Write `dL/d(\w+)`", text)[0]
        told = re.findall(r"`dL/d(\w+) = (\w+)`", text)
        if told and told[0][0].endswith("i"):
            count, letter = int(re.findall(r"to (\d+)\.", text)[0]), told[0][0][0]
            told = [(f"{letter}{i}", f"d{i}") for i in range(1, count + 1)]
        names = {n for line in equations for n in re.findall(r"[A-Za-z]\w*", line)} - set(KNOWN)
        inputs = {n: drawn.gauss(0, 1) for n in names - {e.split(" = ")[0] for e in equations}}
        upstream = {letter: drawn.gauss(0, 1) for _, letter in told}
        ends = {end: upstream[letter] for end, letter in told}
        point = {**run(equations, inputs, {}), **upstream}
        right = practice.right(question).text
        wanted = slope(equations, inputs, by, ends)
        assert computed(right, point) == pytest.approx(wanted, rel=1e-4, abs=1e-5), text


def test_matrix_products_of_the_course() -> None:
    """CS231n, backpropagation: for Y = X W, dL/dX = dL/dY W^T and dL/dW = X^T dL/dY."""
    known = {"X WX": "G W^T", "X WW": "X^T G", "W XX": "W^T G", "W XW": "G X^T",
             "X Wb": "the sum of G over its rows (axis 0)"}  # fmt: skip
    for question in questions("matrix-product"):
        layer, by = re.findall(r"`Y = (\w \w)(?: \+ b)?`.*`dL/d(\w)`", question.text)[0]
        (right,) = [option.text for option in question.options if option.right]
        assert right == known[layer + by], question.text


def test_matrices_in_numbers() -> None:
    for question in questions("matrix-gradient"):
        x, w, g = (
            [[float(item) for item in row.split(",")] for row in re.findall(r"\[([^\[\]]*)\]", m)]
            for m in re.findall(r"= (\[\[.*?\]\])", question.text)
        )
        y = [[sum(x[n][k] * w[k][c] for k in range(2)) for c in range(2)] for n in range(2)]
        if "max" in question.text:
            g = [[g[n][c] * (y[n][c] > 0) for c in range(2)] for n in range(2)]
        by = re.findall(r"`dL/d(\w)`\?", question.text)[0]
        if by == "b":
            wanted = [g[0][c] + g[1][c] for c in range(2)]
        elif by == "W":
            wanted = [sum(x[n][k] * g[n][c] for n in range(2)) for k in range(2) for c in range(2)]
        else:
            wanted = [sum(g[n][c] * w[k][c] for c in range(2)) for n in range(2) for k in range(2)]
        right = practice.right(question)
        assert isinstance(right, Vector)
        assert list(right.values) == wanted, question.text
