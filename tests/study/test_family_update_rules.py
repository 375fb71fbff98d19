"""Update rules: every step again in a plain loop, from the words of the question."""

from __future__ import annotations

import math
import re

import pytest
from tests.reference import practice

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.update_rules import FAMILIES
from chainrule.study.practice.question import Question

COUNTS = {"one": 1, "two": 2}


def questions(name: str) -> list[Question]:
    return list(practice.questions(FAMILIES, name, 24))


def value(question: Question) -> float:
    right = practice.right(question)
    assert isinstance(right, Number)
    return right.value


def named(text: str, name: str, default: float = 0.0) -> float:
    found = re.search(rf"`{name} = (-?[\d.]+)`", text)
    return float(found[1]) if found else default


def gradient(text: str, step: int, w: float) -> float:
    given = re.search(r"gradients?[a-z ]* (?:is|are) (-?[\d.]*\d)(?: and then (-?[\d.]*\d))?", text)
    if given:
        return float(given[step + 1])
    loss = re.search(r"`L = (.*?)`", text)
    assert loss
    formula = loss[1].replace("^", "**")
    return float((eval(formula, {"w": w + 1e-4}) - eval(formula, {"w": w - 1e-4})) / 2e-4)


def walked(text: str) -> float:
    w, a, decay = named(text, "w"), named(text, "a"), named(text, "lambda")
    a = a or float(re.findall(r"learning rate ([\d.]*\d)", text)[0])
    steps = re.findall(r"after (\w+) steps?", text)[0]
    v, c = named(text, "v"), 0.0
    for step in range(COUNTS.get(steps) or int(steps)):
        g = gradient(text, step, w)
        if "AdamW" in text:
            w *= 1 - a * decay
        else:
            g += decay * w
        if "Adam" in text:
            b1, b2 = named(text, "b1"), named(text, "b2")
            v, c = b1 * v + (1 - b1) * g, b2 * c + (1 - b2) * g * g
            w -= a * (v / (1 - b1 ** (step + 1))) / math.sqrt(c / (1 - b2 ** (step + 1)))
        elif "AdaGrad" in text or "RMSProp" in text:
            r = named(text, "r", -1)
            c = c + g * g if r < 0 else r * c + (1 - r) * g * g
            w -= a * g / math.sqrt(c)
        else:
            mu = named(text, "mu")
            v = mu * v + g
            w -= a * (g + mu * v if "Nesterov" in text else v)
    return w


@pytest.mark.parametrize("name", ["sgd-steps", "momentum-step", "adaptive-step", "decoupled-decay"])
def test_steps(name: str) -> None:
    for question in questions(name):
        assert value(question) == pytest.approx(walked(question.text), rel=1e-5), question.text


def test_schedules() -> None:
    for question in questions("learning-rate-schedule"):
        text = question.text
        epoch = int(re.findall(r"epoch (\d+)\?", text)[0])
        if "multiplied" in text:
            by, every = re.findall(r"by ([\d.]+) every (\d+)", text)[0]
            share = math.prod(float(by) for e in range(1, epoch + 1) if e % int(every) == 0)
        else:
            fall = int(re.findall(r"in (\d+) epochs", text)[0])
            begun = int((re.findall(r"first (\d+) epochs", text) or [0])[0])
            low = float((re.findall(r"to ([\d.]+) % of it", text) or [0])[0]) / 100
            turned = math.cos(math.radians(180 * (epoch - begun) / fall))
            share = (1 + low) / 2 + (1 - low) / 2 * turned
        assert value(question) == pytest.approx(100 * share), text


def test_momentum_on_a_constant_gradient() -> None:
    for question in questions("momentum-limit"):
        text, mu = question.text, named(question.text, "mu")
        v, speeds = 0.0, []
        for _ in range(2000):
            v = mu * v + 1
            speeds.append(v)
        if question.level == 3:
            share = float(re.findall(r"([\d.]+) %", text)[0]) / 100
            wanted = 1.0 + sum(speed < share * speeds[-1] for speed in speeds)
        else:
            step = int((re.findall(r"in step (\d+)", text) or [2000])[0])
            g = float(re.findall(r"gradient ([\d.]+)", text)[0])
            wanted = g * named(text, "a") * speeds[step - 1]
        assert value(question) == pytest.approx(wanted), text
