"""Maxout units: values, parameters and gradients, proved by the real layer."""

from __future__ import annotations

import itertools
from random import Random

import torch
from torch import nn

from chainrule.nn.maxout import Maxout
from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.dead_units import Unit, dot, doubles, score_of
from chainrule.study.practice.families.drawing import (
    mistaken,
    quarters,
    row,
    shown,
    until,
)
from chainrule.study.practice.question import LEVELS, Draft, Family


def _maxout(drawn: Random, level: int) -> Draft:
    if level == 2:
        return _maxout_parameters(drawn)
    pieces = 2 if level == 1 else 3
    x = [float(drawn.choice((-3, -2, -1, 1, 2, 3))) for _ in range(2)]

    def draw() -> list[Unit]:
        return [([quarters(drawn, -3, 3, 0.5) for _ in x], quarters(drawn, -2, 2, 0.5))
                for _ in range(pieces)]  # fmt: skip

    units = until(draw, lambda found: _apart([dot(w, x) + b for w, b in found]))
    scores = [dot(w, x) + b for w, b in units]
    told = "; ".join(f"`{score_of(unit)}`" for unit in units)
    best = scores.index(max(scores))
    layer, inputs = _layer(units), doubles([x]).requires_grad_()
    output = layer(inputs)
    output.sum().backward()
    assert inputs.grad is not None
    steps = f"pieces at x: {row(scores)}; the largest is piece {best + 1}"
    if level == 1:
        return Draft(
            text=f"A maxout unit has the pieces {told}. What does it give for the input "
            f"`{row(x)}`?",
            expected=Number(max(scores)),
            proved=float(output.detach()[0]),
            way="chainrule's Maxout layer",
            mistakes=mistaken(
                (min(scores), "takes the smallest piece"),
                (sum(scores), "adds the pieces"),
                (sum(scores) / 2, "takes the mean of the pieces"),
                (scores[best] - units[best][1], "forgets the bias"),
                (scores[best] + units[best][1], "adds the bias twice"),
                (max(scores, key=abs) if min(scores) < 0 else 0.0, "takes the largest magnitude"),
            ),
            solution=(steps, f"{shown(max(scores))}"),
        )  # fmt: skip
    summed = [sum(w[place] for w, _ in units) for place in range(2)]
    return Draft(
        text=f"A maxout unit has the pieces {told}. What is the gradient of its output for the "
        f"input, at `{row(x)}`?",
        expected=Vector(tuple(units[best][0])),
        proved=inputs.grad[0],
        way="autograd through chainrule's Maxout layer",
        mistakes=mistaken(
            (summed, "adds the gradients of all pieces"),
            ([value / pieces for value in summed], "shares the gradient among all pieces"),
            (units[scores.index(min(scores))][0], "takes the smallest piece"),
            ([0.0, 0.0], "thinks that negative pieces are cut off, as by ReLU"),
            (x, "gives the gradient of the weights"),
        ),
        solution=(steps, f"only it gets the gradient; its weights are {row(units[best][0])}"),
    )  # fmt: skip


def _apart(scores: list[float]) -> bool:
    """No two alike, the largest not near 0."""
    gaps = [abs(a - b) for a, b in itertools.combinations(scores, 2)]
    return min(gaps) > 0.4 and abs(max(scores)) > 0.4 and abs(sum(scores)) > 0.4


def _layer(units: list[Unit]) -> nn.Module:
    layer = Maxout(len(units[0][0]), units=1, pieces=len(units)).double()
    with torch.no_grad():
        layer.linear.weight.copy_(doubles([w for w, _ in units]))
        layer.linear.bias.copy_(doubles([b for _, b in units]))
    return layer


def _maxout_parameters(drawn: Random) -> Draft:
    inputs, units = drawn.choice((10, 20, 64, 100)), drawn.choice((5, 10, 16, 32))
    pieces = drawn.choice((2, 3, 4))
    right = units * pieces * (inputs + 1)
    layer = Maxout(inputs, units, pieces)
    return Draft(
        text=f"How many parameters has a layer of {units} maxout units with {pieces} pieces each "
        f"on {inputs} inputs?",
        conventions=("weights and biases are counted, one bias for each piece",),
        expected=Number(right, "parameters"),
        proved=sum(p.numel() for p in layer.parameters()),
        way="counting the parameters of chainrule's Maxout layer",
        mistakes=mistaken(
            (units * (inputs + 1), "counts one piece only"),
            (units * pieces * inputs, "forgets the biases"),
            (units * (pieces * inputs + 1), "has one bias for all pieces of a unit"),
            (units * (inputs + 1) + pieces, "adds the pieces instead of multiplying"),
        ),
        solution=(
            f"each piece: {inputs} weights and 1 bias = {inputs + 1}",
            f"{units} * {pieces} * {inputs + 1} = {right:,}",
        ),
    )  # fmt: skip


FAMILIES = (
    Family("maxout", "dead-units", "value, parameters and gradient of maxout", LEVELS, _maxout),
)  # fmt: skip
