"""Batch normalization and dropout: every answer again from the words of the question."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from tests.reference.practice import numbers, questions, right, rows

from chainrule.study.practice.expected import Vector
from chainrule.study.practice.families.normalization import FAMILIES
from chainrule.study.practice.question import Question


def values(question: Question) -> list[float]:
    found = right(question)
    return list(found.values) if isinstance(found, Vector) else [float(found.value)]


def named(text: str, name: str) -> float:
    """The number behind "name =" or behind the name."""
    found = re.search(rf"{name} (?:= |of )?(-?\d+(?:\.\d+)?)", text)
    return float(found[1]) if found else 0.0


def normalized(x: np.ndarray, text: str) -> np.ndarray:
    gamma, beta, epsilon = (named(text, name) for name in ("gamma", "beta", "epsilon"))
    return gamma * (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + epsilon) + beta


def batch_output(text: str) -> list[float]:
    return [float(normalized(np.array(rows(text)[0]), text)[0])]


def batch_gradient(text: str) -> list[float]:
    """Central differences of the sum of upstream gradient times output."""
    x, upstream = (np.array(row) for row in rows(text)[:2])
    h = 1e-5

    def loss(x: np.ndarray, gamma: float, beta: float) -> float:
        return float(upstream @ (gamma * (x - x.mean()) / x.std() + beta))

    gamma, beta, first = named(text, "gamma"), named(text, "beta"), h * (np.arange(len(x)) == 0)
    if "dL/dgamma" in text:
        moves = ((x, gamma + h, beta), (x, gamma - h, beta)), ((x, gamma, beta + h),
                                                               (x, gamma, beta - h))  # fmt: skip
        return [(loss(*up) - loss(*down)) / (2 * h) for up, down in moves]
    return [(loss(x + first, gamma, beta) - loss(x - first, gamma, beta)) / (2 * h)]


def evaluation(text: str) -> list[float]:
    mean, variance = named(text, "running mean"), named(text, "running variance")

    def layer(z: float) -> float:
        return named(text, "gamma") * (z - mean) / math.sqrt(variance) + named(text, "beta")

    formula = re.search(r"`z = (\S+) \* x ([+-]) (\S+)`", text)
    if formula is None:
        return [layer(rows(text)[0][0])]
    w, b = float(formula[1]), float(formula[2] + formula[3])
    return [layer(w + b) - layer(b), layer(b)]


def running(text: str) -> list[float]:
    if "A new" in text:
        steps, mean = int(numbers(text)[0]), named(text, "of a feature is")
        kept = 0.0
        for _ in range(steps):
            kept = 0.9 * kept + 0.1 * mean
        return [kept]
    x = np.array(rows(text)[0])
    new = x.var(ddof=1) if "variance" in text else x.mean()
    return [0.9 * (named(text, "running variance") or named(text, "running mean")) + 0.1 * new]


def parameters(text: str) -> list[float]:
    found = re.search(r"(\d+)x(\d+)x(\d+)", text)
    assert found
    height, width, channels = map(int, found.groups())
    if "learned" in text:
        return [2 * channels]
    return [int(numbers(text)[0]) * height * width]


def constant(text: str) -> list[float]:
    if "nearly" in text:
        return [float(normalized(np.array(rows(text)[0]), text)[0])]
    return [named(text, "beta")]


def kept(text: str) -> float:
    return 1 - named(text, "p")


def dropout_mask(text: str) -> list[float]:
    *first, x, mask = rows(text)
    out = [a * m / kept(text) for a, m in zip(x, mask, strict=True)]
    return [float(np.dot(first[0], out))] if first else out


def all_scores(text: str, scale: float) -> list[tuple[float, float]]:
    """Scores and probabilities of all masks."""
    one, two = rows(text)[:2]
    found = []
    for mask in itertools.product((0, 1), repeat=len(one)):
        chance = math.prod(kept(text) if m else 1 - kept(text) for m in mask)
        found.append(
            (chance, sum(a * b * m for a, b, m in zip(one, two, mask, strict=True)) / scale)
        )
    return found


def moments(text: str) -> list[float]:
    scores = all_scores(text, kept(text))
    mean = sum(chance * score for chance, score in scores)
    square = sum(chance * score**2 for chance, score in scores)
    return [mean if "expected value" in text else square - ("variance" in text) * mean**2]


def at_test_time(text: str) -> list[float]:
    if "linear layers" not in text:
        return [sum(chance * score for chance, score in all_scores(text, 1.0))]
    layers = int(numbers(text)[0])
    drops = rows(text)[0] if rows(text) else [named(text, "p")] * layers
    return [1 / math.prod(1 - p for p in drops)]


def dropconnect(text: str) -> list[float]:
    if "units and biases" in text:
        return [math.prod(numbers(text)[:2])]
    w, x, mask = rows(text)
    return [sum(a * b * m for a, b, m in zip(w, x, mask, strict=True)) / kept(text)
            + named(text, "bias")]  # fmt: skip


def depth(text: str) -> list[float]:
    if "`x <- x + w * x`" in text:
        value = named(text, "for x")
        for w in rows(text)[0]:
            value = named(text, "probability") * value + (
                1 - named(text, "probability")) * (value + w * value)  # fmt: skip
        return [value]
    blocks = int(re.search(r"(\d+) residual", text)[1])
    if "block l" in text:
        last = float(re.search(r"\* ([\d.]+)`", text)[1])
        return [sum(1 - place / blocks * last for place in range(1, blocks + 1))]
    return [blocks * (1 - named(text, "probability"))]


SOLVERS = {
    "batchnorm-output": batch_output, "batchnorm-gradient": batch_gradient,
    "batchnorm-evaluation": evaluation, "batchnorm-running-averages": running,
    "batchnorm-parameters": parameters, "batchnorm-constant": constant,
    "dropout-mask": dropout_mask, "dropout-moments": moments,
    "dropout-at-test-time": at_test_time, "dropconnect": dropconnect, "stochastic-depth": depth,
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_recomputed_from_its_words(name: str) -> None:
    for question in questions(FAMILIES, name):
        again = SOLVERS[name](question.text)
        assert values(question) == pytest.approx(again, rel=1e-5, abs=1e-8), question.id


def test_invariances_by_hand() -> None:
    """Ioffe and Szegedy 2015, section 3.3: BN(aWu) = BN(Wu); a shift goes with the mean."""
    for question in questions(FAMILIES, "batchnorm-invariances"):
        for option in question.options:
            seen = "gamma" in option.text or "sign" in option.text
            if "in training mode" in question.text:
                assert option.right == (seen or "all examples but" in option.text), question.id
            else:
                assert option.right == ("all examples but" not in option.text), question.id


def test_covers_all_families() -> None:
    assert {one.name for one in FAMILIES} == {*SOLVERS, "batchnorm-invariances"}
