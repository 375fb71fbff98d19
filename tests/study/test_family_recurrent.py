"""Recurrent networks: every answer again by differences and loops, from the question's words."""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable
from functools import partial

import pytest
from tests.reference import practice

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.recurrent import FAMILIES
from chainrule.study.practice.question import Question


def questions(name: str) -> list[Question]:
    return list(practice.questions(FAMILIES, name, 24))


def value(question: Question) -> float:
    right = practice.right(question)
    assert isinstance(right, Number)
    return right.value


def matrix(text: str) -> list[float]:
    """The four entries, row by row."""
    return [float(x) for x in re.findall(r"-?[\d.]+", re.findall(r"W = (\[\[.*?\]\])", text)[0])]


def last_state(
    u: float, inputs: list[float], squash: Callable[[float], float], w: float, h: float
) -> float:
    for x in inputs:
        h = squash(w * h + u * x)
    return h


def test_through_time() -> None:
    for question in questions("gradient-through-time"):
        text = question.text
        w, u, h = map(float, re.findall(r"w = (\S+), u = (\S+), h_0 = (\S+)`", text)[0])
        inputs = [float(x) for x in re.findall(r"\[(.*?)\]", text)[0].split(",")]

        squash = math.tanh if "tanh" in text else float
        last = partial(last_state, u, inputs, squash)
        e = 1e-5
        by_start = (last(w, h + e) - last(w, h - e)) / (2 * e)
        by_weight = (last(w + e, h) - last(w - e, h)) / (2 * e)
        wanted = by_start if "`dL/dh_0`" in text else by_weight
        assert value(question) == pytest.approx(wanted, rel=1e-5), text


def test_steps_to_vanish() -> None:
    for question in questions("steps-to-vanish"):
        text = question.text
        each = float(re.findall(r"w = (\S+)`", text)[0])
        each *= float((re.findall(r"nonlinearity, (\S+) all", text) or [1])[0])
        bound = float(re.findall(r"(?:below|above) (\S+) times", text)[0])
        reached = [t for t in range(1, 500) if (each**t < bound) == (each < 1) and each**t != bound]
        assert value(question) == min(reached), text


def test_largest_singular_value() -> None:
    """The longest image of a thousand directions."""
    for question in questions("largest-singular-value"):
        a, b, c, d = matrix(question.text)
        turns = [2 * math.pi * k / 2000 for k in range(1000)]
        longest = max(
            math.hypot(a * math.cos(t) + b * math.sin(t), c * math.cos(t) + d * math.sin(t))
            for t in turns
        )
        assert value(question) == pytest.approx(longest, rel=1e-4), question.text


def test_fate() -> None:
    for question in questions("gradient-fate"):
        a, b, c, d = matrix(question.text)
        slope = float((re.findall(r"every tanh is ([\d.]+\d)", question.text) or [1])[0])
        root = cmath.sqrt((a - d) ** 2 / 4 + b * c)
        sizes = sorted(slope * abs((a + d) / 2 + sign * root) for sign in (1, -1))
        told = {option.text.split(",")[0]: option.right for option in question.options}
        assert told["every gradient vanishes in the end"] == (sizes[1] < 1), question.text
        assert told["some gradients explode in the end"] == (sizes[1] > 1), question.text
        assert told["every gradient explodes in the end"] == (sizes[0] > 1), question.text
        longer = told["some gradients are longer after one step back than before"]
        assert longer != told["no gradient ever becomes longer on its way back"]
        assert longer or sizes[1] < 1
