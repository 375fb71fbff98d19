"""Clipping: every answer again element by element, from the words of the question."""

from __future__ import annotations

import math
import re

import pytest
from tests.reference import practice

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.clipping import FAMILIES
from chainrule.study.practice.question import Question


def questions(name: str) -> list[Question]:
    return list(practice.questions(FAMILIES, name, 24))


def values(question: Question) -> list[float]:
    right = practice.right(question)
    if isinstance(right, Vector):
        return list(right.values)
    assert isinstance(right, Number)
    return [right.value]


def vectors(text: str) -> list[list[float]]:
    return [[float(x) for x in row.split(",")] for row in re.findall(r"\[([^\]]*)\]", text)]


def threshold(text: str) -> float:
    return float(re.findall(r"(?:clipped by (?:its|their) norm to|by value to|t =) ([\d.]*\d)",
                            text)[0])  # fmt: skip


def length(g: list[float]) -> float:
    return math.hypot(*g)


def by_value(g: list[float], t: float) -> list[float]:
    return [t if x > t else -t if x < -t else x for x in g]


def test_by_norm() -> None:
    for question in questions("clip-by-norm"):
        parts, t = vectors(question.text), threshold(question.text)
        norm = length([x for part in parts for x in part])
        wanted = [x if norm <= t else x / norm * t for x in parts[0]]
        assert values(question) == pytest.approx(wanted), question.text


def test_by_value() -> None:
    for question in questions("clip-by-value"):
        (g,), t = vectors(question.text), threshold(question.text)
        clipped = by_value(g, t)
        inner = sum(a * b for a, b in zip(g, clipped, strict=True))
        wanted = {1: clipped, 2: [length(clipped)], 3: [inner / length(g) / length(clipped)]}
        assert values(question) == pytest.approx(wanted[question.level]), question.text


def test_by_squared_norm() -> None:
    for question in questions("clip-by-squared-norm"):
        (g,), t = vectors(question.text), threshold(question.text)
        times = re.findall(r"becomes (\d+) times", question.text)
        g = [x * int(times[0]) for x in g] if times else g
        made = [x * t / sum(y * y for y in g) for x in g]
        wanted = made if question.level == 2 else [length(made)]
        assert values(question) == pytest.approx(wanted), question.text


def test_claims() -> None:
    for question in questions("clipping-claims"):
        (g,), t = vectors(question.text), threshold(question.text)
        told = {option.text: option.right for option in question.options}
        cut = by_value(g, t)
        ratios = {round(a / b, 9) for a, b in zip(cut, g, strict=True)}
        assert told["clipping by value keeps its direction"] == (len(ratios) == 1)
        assert told["clipping by norm keeps its direction"]
        assert told["clipping by the squared norm keeps its direction"]
        bounded = [right for text, right in told.items() if "at most" in text and "value" in text]
        assert bounded == [length(cut) <= t]
