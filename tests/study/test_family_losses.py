"""Losses: every answer once more, by loops and differences, from the words of the question."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial

import pytest
from tests.reference import practice

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.drafting import ORDINALS
from chainrule.study.practice.families.losses import FAMILIES
from chainrule.study.practice.question import Question

Rows = list[list[float]]


def questions(name: str) -> list[Question]:
    return list(practice.questions(FAMILIES, name, 24))


def values(question: Question) -> list[float]:
    right = practice.right(question)
    if isinstance(right, Vector):
        return list(right.values)
    assert isinstance(right, Number)
    return [right.value]


def rows(text: str) -> Rows:
    return [[float(x) for x in row.split(",")] for row in re.findall(r"\[([^\]]*)\]", text)]


def rights(text: str) -> list[int]:
    return [ORDINALS.index(word) for word in re.findall(r"the (\w+) class is right", text)]


def one_loss(text: str, scores: list[float], right: int) -> float:
    if "softmax" in text:
        scores = [math.log(p) for p in scores] if "probabilities" in text else scores
        return math.log(sum(math.exp(s) for s in scores)) - scores[right]
    power = 2 if "squared hinge" in text else 1
    terms = [max(0, s - scores[right] + 1) ** power for s in scores]
    return sum(terms) - 1  # the right class itself is at a distance of 1


@pytest.mark.parametrize("name", ["svm-loss", "softmax-loss"])
def test_loss(name: str) -> None:
    for question in questions(name):
        text = question.text
        losses = [one_loss(text, *item) for item in zip(rows(text), rights(text), strict=True)]
        wanted = sum(losses) / (len(losses) if "mean of" in text else 1)
        assert values(question) == pytest.approx([wanted]), text


def slope(loss: Callable[[float], float]) -> float:
    return (loss(1e-5) - loss(-1e-5)) / 2e-5


@pytest.mark.parametrize("name", ["svm-gradient", "softmax-gradient"])
def test_gradient(name: str) -> None:
    for question in questions(name):
        text = question.text
        wanted = by_weights(text) if question.level == 3 else by_scores(text)
        assert values(question) == pytest.approx(wanted, rel=1e-6, abs=1e-6), text


def by_scores(text: str) -> list[float]:
    (scores,), (right,) = rows(text), rights(text)
    scores = [math.log(p) for p in scores] if "probabilities" in text else scores
    plain = text.replace("probabilities", "")

    def loss(place: int, h: float) -> float:
        moved = [s + h * (j == place) for j, s in enumerate(scores)]
        return one_loss(plain, moved, right)

    return [slope(partial(loss, k)) for k in range(len(scores))]


def by_weights(text: str) -> list[float]:
    found, plain = rows(text), text.replace("probabilities", "")
    chosen = ORDINALS.index(re.findall(r"weights of the (\w+) class", text)[0])

    def loss(feature: int, h: float) -> float:
        total = 0.0
        for x, scores, right in zip(found[::2], found[1::2], rights(text), strict=True):
            raw = [math.log(p) for p in scores] if "probabilities" in text else list(scores)
            raw[chosen] += h * x[feature]
            total += one_loss(plain, raw, right)
        return total / (2 if "mean over" in text else 1)

    return [slope(partial(loss, k)) for k in range(2)]


def test_initial_loss() -> None:
    for question in questions("initial-loss"):
        text, level = question.text, question.level
        numbers = [float(item) for item in re.findall(r"\d+\.?\d*", text)]
        if level == 3:
            (shares,) = rows(text)
            wanted = -math.log(math.prod(share**share for share in shares))
        elif level == 2:
            inputs, hidden, classes, weight = numbers[:4]
            strength, half = re.findall(r"`([\d.]+)(/2)? \*", text)[0]
            wanted = math.log(classes) if "softmax" in text else classes - 1
            wanted += float(strength) * sum([weight**2] * int(inputs * hidden)) / (2 if half else 1)
        else:
            wanted = first_loss(text, int(numbers[0]))
        assert values(question) == pytest.approx([wanted]), text


def first_loss(text: str, classes: int) -> float:
    if "yes-or-no" in text:
        return sum(-math.log(1 / (1 + math.exp(0))) for _ in range(classes))
    if "mean squared" in text:
        return sum((0 - (j == 0)) ** 2 for j in range(classes)) / classes
    return one_loss(text, [0.0] * classes, 0)


def test_a_shift_changes_no_loss_of_differences() -> None:
    shifted = [q for q in questions("scores-changed") if "every score" in q.text]
    assert shifted
    for question in shifted:
        kept = {option.text for option in question.options if option.right}
        assert "the predicted class (the largest score)" in kept
        assert not any("binary" in text for text in kept)
        assert ("the softmax loss" in kept) == ("multiplied" not in question.text), question.text


def test_the_course_notes_example() -> None:
    """CS231n, linear classification: scores 13, -7, 11 with margin 10 lose 8; here by margin 1."""
    assert one_loss("SVM", [1.3, -0.7, 1.1], 0) == pytest.approx(0.8)
