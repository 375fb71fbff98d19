"""Penalties: sums, differences and steps taken from the numbers in the text."""

import math
import re

from tests.reference.practice import numbers, questions, right, rows

from chainrule.study.practice.expected import Choice
from chainrule.study.practice.families.penalties import FAMILIES

_NUMBER = r"(-?\d+(?:\.\d+)?)"


def _penalty(text: str, weights: list[float]) -> float:
    """R of the formula in the text, weight by weight."""
    elastic = re.search(rf"= {_NUMBER} sum of \|w_i\| \+ {_NUMBER} x 1/2", text)
    squares, amounts = 0.0, 0.0
    for weight in weights:
        squares += weight * weight
        amounts += abs(weight)
    if elastic:
        return float(elastic[1]) * amounts + float(elastic[2]) * squares / 2
    if "|w_i|" in text:
        return amounts
    return squares / 2 if "1/2 sum" in text else squares


def _after(word: str, text: str) -> float:
    return float(re.search(rf"{word} {_NUMBER}", text)[1])


def test_penalty_value():
    for question in questions(FAMILIES, "penalty-value"):
        strength, weights = _after("lambda =", question.text), rows(question.text)[0]
        assert right(question).agrees(strength * _penalty(question.text, weights)), question.text


def test_penalty_gradient_by_differences():
    for question in questions(FAMILIES, "penalty-gradient"):
        weights, *data = rows(question.text)
        strength, step, found = _after("lambda =", question.text), 1e-4, []
        for place in range(len(weights)):
            up, down = list(weights), list(weights)
            up[place] += step
            down[place] -= step
            rise = _penalty(question.text, up) - _penalty(question.text, down)
            found.append(strength * rise / (2 * step) + (data[0][place] if data else 0))
        assert right(question).agrees(found), question.text


def test_full_loss():
    for question in questions(FAMILIES, "full-loss"):
        text, found = question.text, rows(question.text)
        if question.level == 3:
            *matrix, inputs = found
            (target,) = numbers(re.search(r"class (\d)", text)[1])
            scores = [sum(w * x for w, x in zip(one, inputs, strict=True)) for one in matrix]
            data = sum(max(0.0, score - scores[int(target)] + 1) for score in scores) - 1
            weights = [weight for one in matrix for weight in one]
        else:
            *losses, weights = found
            data = sum(losses[0]) / len(losses[0]) if losses else _after("loss is", text)
        wanted = data + _after("lambda =", text) * _penalty(text, weights)
        assert right(question).agrees(wanted), text


def test_preferred_weights_give_the_score_and_have_the_least_penalty():
    for question in questions(FAMILIES, "preferred-weights"):
        (inputs,), score = rows(question.text), _after("the score", question.text)
        found = {option: rows(option.text)[0] for option in question.options}
        for weights in found.values():
            given = sum(w * x for w, x in zip(weights, inputs, strict=True))
            assert math.isclose(given, score), question.text
        least = min(found, key=lambda option: _penalty(question.text, found[option]))
        assert isinstance(question.expected, Choice)
        assert [option for option in found if option.right] == [least], question.text


def test_weight_decay_step():
    for question in questions(FAMILIES, "weight-decay-step"):
        text = question.text
        weight, strength = _after("w =", text), _after("lambda =", text)
        rate = _after("learning rate", text)
        data = 0.0 if "no gradient" in text else _after("has the gradient", text)
        pull = strength if "lambda/2" in text else 2 * strength
        for _ in range(2 if "two steps" in text else 1):
            weight = weight - rate * data - rate * pull * weight
        assert right(question).agrees(weight), text


def test_a_published_preference():
    """The course's x = [1, 1, 1, 1]: w = [1, 0, 0, 0] and [0.25] * 4 score alike; L2 takes the
    second (CS231n notes, linear classification)."""
    assert _penalty("R(w) = sum of w_i^2", [1, 0, 0, 0]) == 1
    assert _penalty("R(w) = sum of w_i^2", [0.25] * 4) == 0.25
