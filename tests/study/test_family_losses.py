"""Losses: every answer once more, by loops and differences, from the words of the question."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest

from chainrule.study.practice.families.drafting import ORDINALS
from chainrule.study.practice.families.losses import FAMILIES
from chainrule.study.practice.making import make
from chainrule.study.practice.question import Question

SEEDS = 20
BY_NAME = {family.name: family for family in FAMILIES}
Rows = list[list[float]]


def questions(name: str) -> list[Question]:
    family = BY_NAME[name]
    return [make(family, level, seed) for level in family.levels for seed in range(SEEDS)]


def values(question: Question) -> list[float]:
    right = getattr(question.expected, "value", None)
    right = question.expected if isinstance(right, int | float) or right is None else right
    found = getattr(right, "values", None)
    return list(found) if found is not None else [float(right.value)]  # type: ignore[union-attr]


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
        if question.level < 3:
            (scores,), (right,) = rows(text), rights(text)
            scores = [math.log(p) for p in scores] if "probabilities" in text else scores
            plain = text.replace("probabilities", "")
            wanted = [
                slope(lambda h, k=k: one_loss(  # type: ignore[misc]
                    plain, [s + h * (j == k) for j, s in enumerate(scores)], right))
                for k in range(len(scores))
            ]  # fmt: skip
        else:
            wanted = by_weights(text)
        assert values(question) == pytest.approx(wanted, rel=1e-6, abs=1e-6), text


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

    return [slope(lambda h, k=k: loss(k, h)) for k in range(2)]  # type: ignore[misc]


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
