"""Saturation: what is left of a gradient behind sigmoid, tanh and their rivals."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, row, shown, until
from chainrule.study.practice.question import LEVELS, Draft, Family, Option


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# each activation with its derivative by the formula, and as PyTorch has it
_ACTIVATIONS: dict[str, tuple[Callable[[float], float], Callable[[Tensor], Tensor]]] = {
    "sigmoid": (lambda x: _sigmoid(x) * (1 - _sigmoid(x)), torch.sigmoid),
    "tanh": (lambda x: 1 - math.tanh(x) ** 2, torch.tanh),
    "ReLU": (lambda x: float(x > 0), torch.relu),
    "leaky ReLU (slope 0.01 below 0)": (lambda x: 1.0 if x > 0 else 0.01, F.leaky_relu),
    "ELU (alpha = 1)": (lambda x: 1.0 if x > 0 else math.exp(x), F.elu),
    "softplus, ln(1 + exp(x))": (_sigmoid, F.softplus),
    "ReLU6, min(max(x, 0), 6)": (lambda x: float(0 < x < 6), F.relu6),
    "maxout of the pieces x and -x": (lambda x: 1.0 if x > 0 else -1.0, torch.abs),
}


def _derivative(function: Callable[[Tensor], Tensor], x: float) -> float:
    point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(function(point))
    assert point.grad is not None
    return float(point.grad)


def _local(drawn: Random, level: int) -> Draft:
    name = "sigmoid" if level == 1 else drawn.choice(("sigmoid", "tanh"))
    x = drawn.choice((-3, -2.5, -2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2, 2.5, 3))
    upstream = drawn.choice((1, 2, 3, 4, 5, -2, -4)) if level == 1 else drawn.choice((8, 10, -20))
    weight = 1.0 if level == 1 else drawn.choice((0.5, 2.0, -0.5, -2.0, 3.0))
    formula, function = _ACTIVATIONS[name]
    score = weight * x
    value = _sigmoid(score) if name == "sigmoid" else math.tanh(score)
    other = 1 - math.tanh(score) ** 2 if name == "sigmoid" else value * (1 - value)
    right = upstream * weight * formula(score)
    inside = "x" if level == 1 else f"{shown(weight)} * x"
    rule = "s * (1 - s)" if name == "sigmoid" else "1 - t^2"
    return Draft(
        text=f"A unit gives `h = {name}({inside})`. At x = {shown(x)} the upstream gradient "
        f"`dL/dh` is {upstream}. What is `dL/dx`?",
        expected=Number(float(right)),
        proved=upstream * _derivative(lambda point: function(weight * point), x),
        way="autograd",
        mistakes=mistaken(
            (float(upstream * weight * value), "takes the output for the local gradient"),
            (float(upstream * weight * other), "takes the local gradient of the other function: "
             "s (1 - s) belongs to sigmoid, 1 - t^2 to tanh"),
            (float(upstream * weight), "lets the gradient through unchanged, as ReLU does"),
            (float(weight * formula(score)), "forgets the upstream gradient"),
            (float(upstream * formula(score)), "forgets the weight"),
            (float(upstream * weight * (1 - value)), "takes 1 - output for the local gradient"),
        ),
        solution=(
            f"{name}({shown(score)}) = {shown(value)}; local gradient {rule} = "
            f"{shown(formula(score))}",
            f"dL/dx = {upstream} * {shown(weight)} * {shown(formula(score))} = {shown(right)}",
        ),
        experiment="sigmoid-saturation",
    )  # fmt: skip


def _depth(drawn: Random, level: int) -> Draft:
    return (_shrinks, _through, _enough)[level - 1](drawn)


def _shrinks(drawn: Random) -> Draft:
    layers, weight = drawn.randint(2, 12), drawn.choice((1, 2))
    right = (4 // weight) ** layers
    return Draft(
        text=f"A gradient goes back through a chain of {layers} sigmoid units, `h_k = sigmoid(w * "
        f"h_(k-1) + b_k)` with w = {weight}, from `h_{layers}` to `h_0`. At least how many times "
        "smaller does it become, whatever the biases are?",
        conventions=("10 times smaller means: divided by 10",),
        expected=Number(right, "times"),
        proved=round(1 / _chain(layers, float(weight))),
        way="autograd through the chain where every score is 0",
        mistakes=mistaken(
            (4 * layers // weight, "adds the layers up instead of multiplying"),
            ((4 // weight) ** (layers - 1), "counts one layer too few"),
            (2**layers if weight == 1 else 1, "takes 1/2, the value of sigmoid at 0, for its "
             "slope"),
            (4, "counts one layer only"),
            (4 ** (layers + 1), "counts one layer too many"),
        ),
        solution=(
            "the slope of sigmoid is at most 1/4, where its score is 0",
            f"each layer multiplies by {weight} / 4 at most: 1 / ({weight} / 4)^{layers} = "
            f"{right:,}",
        ),
        experiment="vanishing-gradients",
    )  # fmt: skip


def _chain(layers: int, weight: float) -> float:
    """The gradient through sigmoid units whose biases put every score at 0."""
    start = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value: Tensor = start
    for place in range(layers):
        bias = 0.0 if place == 0 else -weight / 2
        value = torch.sigmoid(weight * value + bias)
    torch.autograd.backward(value)
    assert start.grad is not None
    return float(start.grad)


def _through(drawn: Random) -> Draft:
    """A gradient through a few sigmoid layers whose outputs are known."""
    outputs = [drawn.choice((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9)) for _ in range(3)]
    weights = [float(drawn.choice((2, 3, 4, 5, -2, -4))) for _ in range(3)]
    upstream = float(drawn.choice((10, 20, 50)))
    slopes = [s * (1 - s) for s in outputs]
    right = upstream * math.prod(slopes) * math.prod(weights)
    return Draft(
        text=f"A chain of three sigmoid units, `h_k = sigmoid(w_k * h_(k-1) + b_k)`, has the "
        f"weights `{row(weights)}` and the outputs `{row(outputs)}`. The upstream gradient "
        f"`dL/dh_3` is {shown(upstream)}. What is `dL/dh_0`?",
        expected=Number(right),
        proved=upstream * _known_outputs(outputs, weights),
        way="autograd, with biases that give these outputs",
        mistakes=mistaken(
            (upstream * math.prod(slopes), "forgets the weights"),
            (upstream * math.prod(slopes[1:]) * math.prod(weights[1:]), "stops one layer early"),
            (upstream * math.prod(outputs) * math.prod(weights), "takes outputs for slopes"),
            (upstream * math.prod(1 - s * s for s in outputs) * math.prod(weights),
             "takes the slope of tanh"),
            (upstream * 0.25**3 * math.prod(weights), "takes the largest slope for every unit"),
        ),
        solution=(
            f"slopes s * (1 - s): {row(slopes)}",
            f"{shown(upstream)} times all slopes times all weights = {shown(right)}",
        ),
        experiment="vanishing-gradients",
    )  # fmt: skip


def _known_outputs(outputs: list[float], weights: list[float]) -> float:
    start = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    value: Tensor = start
    for wanted, weight in zip(outputs, weights, strict=True):
        bias = math.log(wanted / (1 - wanted)) - weight * float(value.detach())
        value = torch.sigmoid(weight * value + bias)
    torch.autograd.backward(value)
    assert start.grad is not None
    return float(start.grad)


def _enough(drawn: Random) -> Draft:
    factor = drawn.choice((50, 100, 500, 1000, 5000, 10000, 10**5, 10**6, 2 * 10**6, 10**7))
    weight = drawn.choice((1.0, 1.5, 2.0, 3.0))
    per_layer = 4 / weight
    right = math.ceil(math.log(factor) / math.log(per_layer))
    proved = next(n for n in range(1, 200) if 1 / _chain(n, weight) > factor)
    return Draft(
        text=f"Layers of one sigmoid unit each, all weights {shown(weight)}, follow each other. "
        f"How many of them make a gradient more than {factor:,} times smaller for certain, "
        "whatever the scores are?",
        conventions=("the smallest such number of layers",),
        expected=Number(right, "layers"),
        proved=proved,
        way="autograd through longer and longer chains where every score is 0",
        mistakes=mistaken(
            (right - 1, "rounds down"),
            (math.ceil(math.log(factor) / math.log(4)) if weight != 1 else right + 1,
             "forgets the weights" if weight != 1 else "counts one layer too many"),
            (math.ceil(math.log(factor) / math.log(2)), "takes 1/2 for the slope of sigmoid"),
            (math.ceil(factor / per_layer), "adds the layers up instead of multiplying"),
        ),
        solution=(
            f"each layer divides by at least 4 / {shown(weight)} = {shown(per_layer)}",
            f"ln {factor:,} / ln {shown(per_layer)} = "
            f"{shown(math.log(factor) / math.log(per_layer))}, rounded up: {right}",
        ),
        experiment="vanishing-gradients",
    )  # fmt: skip


def _which_pass(drawn: Random, level: int) -> Draft:
    """Activations at a score far from 0: which still pass a gradient on?"""
    x = float(-drawn.randint(2, 32) / 4) if level == 1 else float(
        drawn.choice((-8, -7, -5, -4, -3, 3, 4, 5, 7, 8)))  # fmt: skip
    bound = 0.0 if level == 1 else drawn.choice((0.005, 0.02, 0.05, 0.1))
    names = until(
        lambda: drawn.sample(sorted(_ACTIVATIONS), 4 if level == 1 else 5),
        lambda found: (
            bound == 0
            or all(abs(abs(_ACTIVATIONS[name][0](x)) - bound) > 0.02 * bound for name in found)
        ),
    )
    options = tuple(
        Option(
            name,
            _small(formula := _ACTIVATIONS[name][0](x), bound),
            f"Its local gradient there is {formula:.3g}.",
        )
        for name in names
    )
    asked = "exactly 0" if level == 1 else f"below {shown(bound)} in magnitude"
    return Draft(
        text=f"The score of a unit is {shown(x)} for every example. For which of these activations "
        f"is the local gradient {asked}? (Select all.)",
        options=options,
        several=True,
        proved=tuple(_small(_derivative(_ACTIVATIONS[name][1], x), bound) for name in names),
        way="autograd",
        solution=tuple(f"{option.text}: {option.why}" for option in options),
        experiment="dead-relu" if x < 0 else "sigmoid-saturation",
    )


def _small(slope: float, bound: float) -> bool:
    return slope == 0 if bound == 0 else abs(slope) < bound


FAMILIES = (
    Family("local-gradient", "saturation", "gradient through sigmoid or tanh", (1, 2), _local),
    Family("sigmoid-depth", "saturation", "gradient through many sigmoid layers", LEVELS, _depth),
    Family("saturated-activations", "saturation", "activations that pass nothing on", (1, 2),
           _which_pass),
)  # fmt: skip
