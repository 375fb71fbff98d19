"""Units: every answer again, by grids, loops and the words of the question."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from tests.reference.practice import numbers, questions, right, rows

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.units import FAMILIES
from chainrule.study.practice.question import Question

FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0), "leaky ReLU": lambda x: np.where(x > 0, x, 0.01 * x),
    "ELU": lambda x: np.where(x > 0, x, np.exp(x) - 1), "softplus": lambda x: np.log1p(np.exp(x)),
    "ReLU6": lambda x: np.clip(x, 0, 6), "maxout": np.abs,
}  # fmt: skip


def values(question: Question) -> list[float]:
    found = right(question)
    if isinstance(found, Vector):
        return list(found.values)
    assert isinstance(found, Number)
    return [float(found.value)]


def scores(text: str) -> list[tuple[list[float], float]]:
    """Weights and bias of every `2 * x1 - x2 + 3` in a text."""
    found = []
    for formula in re.findall(r"`([^`]*x1[^`]*)`", text):
        signs = formula.replace("- ", "-").replace("+ ", "+")
        weights = [
            float(re.sub(r"^([+-]?)$", r"\g<1>1", part or ""))
            for part in re.findall(r"([+-]?[\d.]*)(?: \* )?x\d", signs)
        ]
        found.append((weights, float(signs.split()[-1])))
    return found


def largest(unit: tuple[list[float], float], text: str) -> float:
    """The largest score over a grid of the box."""
    sides = re.findall(r"(-?\d+) <= x\d <= (-?\d+)", text)
    grids = [np.linspace(float(a), float(b), 3) for a, b in sides]
    return max(float(np.dot(unit[0], x)) + unit[1] for x in itertools.product(*grids))


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return float(found[1])


def dead(question: Question) -> list[float]:
    if question.level == 1:
        return [largest(scores(question.text)[0], question.text)]
    (w, x), text = rows(question.text), question.text
    bias, g = number(r"bias (\S+)", text), number(r"gradient ([\d.]*\d)", text)
    low, high = 0.0, 100.0
    for _ in range(60):
        rate = (low + high) / 2
        moved = np.dot(np.array(w) - rate * g * np.array(x), x) + bias - rate * g
        low, high = (low, rate) if moved < 0 else (rate, high)
    return [low]


def relu_gradient(question: Question) -> list[float]:
    w, *examples, upstream = rows(question.text)
    bias, total = number(r"bias (\S+?)\.? ", question.text), np.zeros(2)
    for x, g in zip(examples, upstream, strict=True):
        if np.dot(w, x) + bias > 0:
            total += g * np.array(x)
    return [float(item) for item in total]


def maxout(question: Question) -> list[float]:
    if question.level == 2:
        units, pieces, inputs = (int(x) for x in numbers(question.text)[:3])
        return [sum(inputs + 1 for _ in range(units * pieces))]
    x = rows(question.text)[-1]
    best = max(scores(question.text), key=lambda unit: np.dot(unit[0], x) + unit[1])
    return best[0] if question.level == 3 else [float(np.dot(best[0], x)) + best[1]]


def local(question: Question) -> list[float]:
    found = re.search(
        r"h = (\w+)\((?:(\S+) \* )?x\)`. At x = (\S+) .* is (\S+)\. What", question.text
    )
    assert found
    weight, x, g = float(found[2] or 1), float(found[3]), float(found[4])
    f, h = FUNCTIONS[found[1]], 1e-5
    return [float(g * (f(weight * (x + h)) - f(weight * (x - h))) / (2 * h))]


def sigmoid_depth(question: Question) -> list[float]:
    text = question.text
    if question.level == 1:
        return [(4 / number(r"w = (\d)", text)) ** int(number(r"chain of (\d+)", text))]
    if question.level == 2:
        weights, outputs = rows(text)
        upstream = number(r"is (\d+)\. What", text)
        slopes = (w * s * (1 - s) for w, s in zip(weights, outputs, strict=True))
        return [upstream * math.prod(slopes)]
    factor = int(re.search(r"than ([\d,]+) times", text)[1].replace(",", ""))
    size, layers = 1.0, 0
    while 1 / size <= factor:
        size, layers = size * number(r"weights ([\d.]+)", text) / 4, layers + 1
    return [layers]


def distinct(question: Question) -> list[float]:
    """By what happens to ReLUs that sleep and to units that start alike."""
    text = question.text
    units = int(numbers(text)[0])
    if "drawn at random" in text:
        return [units]
    if question.level == 1:
        return [1]
    biases = rows(text)[0]
    asleep = "ReLU" in text
    return [len({max(b, 0) if asleep else b for b in biases})]


SOLVERS = {
    "relu-gradient": relu_gradient, "maxout": maxout, "local-gradient": local,
    "sigmoid-depth": sigmoid_depth, "distinct-units": distinct,
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_recomputed_from_its_words(name: str) -> None:
    for question in questions(FAMILIES, name):
        assert values(question) == pytest.approx(SOLVERS[name](question), rel=1e-5), question.id


def test_dead_units_on_a_grid() -> None:
    for question in questions(FAMILIES, "dead-relu"):
        if question.level != 2:
            assert values(question) == pytest.approx(dead(question)), question.id
            continue
        for option in question.options:
            top = largest(scores(option.text)[0], question.text)
            assert option.right == (top < 0), question.id


def test_saturated_by_differences() -> None:
    for question in questions(FAMILIES, "saturated-activations"):
        x = number(r"is (-?[\d.]+) for", question.text)
        bound = re.search(r"below ([\d.]+)", question.text)
        for option in question.options:
            f = FUNCTIONS[re.split(r" of| \(|,", option.text)[0]]
            slope = abs(float(f(x + 1e-4) - f(x - 1e-4)) / 2e-4)
            assert option.right == (slope < (float(bound[1]) if bound else 1e-9)), question.id


def test_signs_of_gradients() -> None:
    for question in questions(FAMILIES, "gradient-signs"):
        if question.level == 1:
            assert values(question) == [2]
            continue
        x = np.array(rows(question.text)[0])
        for option in question.options:
            ratios = np.array(rows(option.text)[0]) / x
            assert option.right == bool(np.ptp(ratios) < 1e-9), question.id


def test_zero_gradients_by_differences() -> None:
    """Each parameter is kicked alone: does the loss move?"""
    for question in questions(FAMILIES, "zero-gradients"):
        for option in question.options:
            assert option.right == (slope(question.text, option.text) < 1e-9), question.id


def slope(text: str, name: str) -> float:
    drawn = np.random.default_rng(0)
    x = drawn.normal(size=(5, 3)) * ("All inputs are 0" not in text)
    f = FUNCTIONS[re.search(r"\* (\w+)\(", text)[1]]
    start = {
        "W1": drawn.normal(size=(4, 3)) * ("W1 random" in text),
        "W2": drawn.normal(size=(2, 4)) * ("W2 random" in text),
        "b1": np.full(4, number(r"b1 is (-?[\d.]*\d)", text)), "b2": np.zeros(2),
    }  # fmt: skip
    kick = 1e-4 * drawn.normal(size=start[name].shape)
    up, down = ({**start, name: start[name] + sign * kick} for sign in (1, -1))
    return abs(loss(x, f, up) - loss(x, f, down)) / 2e-4


def loss(x: np.ndarray, f: object, p: dict[str, np.ndarray]) -> float:
    assert callable(f)
    out = f(x @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"]
    chosen = out[range(5), [0, 0, 0, 1, 0]]
    return float((np.log(np.exp(out).sum(1)) - chosen).mean())


def test_covers_all_families() -> None:
    others = {"dead-relu", "saturated-activations", "gradient-signs", "zero-gradients"}
    assert {one.name for one in FAMILIES} == {*SOLVERS, *others}
