"""Facts of units: activations, initial weights, normalization, dropout, recurrence."""

from __future__ import annotations

import math
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.study.experiments.zero_weights import distinct_rows
from chainrule.study.practice.families.claims import (
    Claim,
    Fact,
    close,
    either,
    gradient_of,
)
from chainrule.study.practice.families.drawing import row, shown


def _slope(function: object, x: float) -> float:
    assert callable(function)
    point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(function(point))
    return float(gradient_of(point))


def _sigmoid_slope(drawn: Random) -> Claim:
    x, bound = drawn.choice((0.0, 1.0, 2.0, 3.0, 4.0, -5.0, 6.0)), drawn.choice((0.01, 0.05, 0.2))
    s = 1 / (1 + math.exp(-x))
    slope = _slope(torch.sigmoid, x)
    return Claim(
        f"At the score {shown(x)} a sigmoid unit passes on less than {shown(100 * bound)} % of its "
        "upstream gradient.",
        s * (1 - s) < bound, slope < bound, f"Its local gradient there is {slope:.4g}.",
    )  # fmt: skip


def _tanh_of_sigmoid(drawn: Random) -> Claim:
    factor, shift = drawn.choice(((2, 1), (2, 1), (1, 0.5), (1, 1))), drawn.choice((2, 2, 1))
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    gap = float((factor[0] * torch.sigmoid(shift * x) - factor[1] - torch.tanh(x)).abs().max())
    return Claim(
        f"`tanh(x) = {factor[0]} * sigmoid({shift} * x) - {shown(factor[1])}` for every x.",
        (factor, shift) == ((2, 1), 2), gap < 1e-9, f"Between -3 and 3 both sides differ by up to "
        f"{gap:.2g}.",
    )  # fmt: skip


def _same_signs(drawn: Random) -> Claim:
    name, count = drawn.choice(("sigmoid", "tanh", "ReLU")), drawn.randint(3, 8)
    functions = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "ReLU": torch.relu}
    inputs = functions[name](torch.linspace(-1, 2, count, dtype=torch.float64))
    w = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(-(w @ inputs))
    signs = sorted(set(gradient_of(w).sign().tolist()) - {0.0})
    return Claim(
        f"If all {count} inputs of a unit are outputs of {name} units, then for a single example "
        "the gradients of its weights (those that are not 0) all have the same sign.",
        name != "tanh", len(signs) == 1, f"For outputs {row(inputs.tolist())} there are gradients "
        f"of {len(signs)} sign{'s' if len(signs) > 1 else ''}.",
    )  # fmt: skip


def _dead(drawn: Random) -> Claim:
    count, weight = drawn.randint(2, 5), drawn.choice((0.5, 1.0, 2.0))
    bias = -drawn.choice((0.5, 1.5, 3.0, 4.5, 6.5, 11.0))
    if close(-bias, count * weight):
        bias -= 0.25
    corners = torch.cartesian_prod(*(torch.tensor([0.0, 1.0]) for _ in range(count)))
    top = float((corners.sum(1) * weight + bias).max())
    return Claim(
        f"A ReLU unit with {count} inputs between 0 and 1, all weights {shown(weight)} and bias "
        f"{shown(bias)} is dead.",
        count * weight + bias < 0, top <= 0, f"Its largest score over all corners is {top:.3g}.",
    )  # fmt: skip


_NEGATIVE = {"ReLU": torch.relu, "leaky ReLU": F.leaky_relu, "ELU": F.elu, "softplus": F.softplus,
             "ReLU6": F.relu6}  # fmt: skip


def _passes_nothing(drawn: Random) -> Claim:
    name, x = drawn.choice(("ReLU", "ReLU6", *_NEGATIVE)), -float(drawn.randint(1, 6))
    slope = _slope(_NEGATIVE[name], x)
    return Claim(
        f"At the score {shown(x)} the activation {name} passes on a gradient of exactly 0.",
        name in ("ReLU", "ReLU6"), slope == 0, f"Its local gradient there is {slope:.3g}.",
    )  # fmt: skip


def _relu_against(drawn: Random) -> Claim:
    times, name = drawn.choice((2, 3, 4, 5, 8)), drawn.choice(("sigmoid", "tanh"))
    largest = 4 if name == "sigmoid" else 1
    x = torch.linspace(0.001, 8, 400, dtype=torch.float64, requires_grad=True)
    function = torch.sigmoid if name == "sigmoid" else torch.tanh
    torch.autograd.backward(function(x).sum())
    ratio = float((1 / gradient_of(x)).min())
    return Claim(
        f"For every score above 0 the local gradient of ReLU is at least {times} times that of "
        f"{name}.",
        times <= largest, ratio >= times - 1e-3, f"The smallest ratio found is {ratio:.4g}.",
    )  # fmt: skip


def _chain(drawn: Random) -> Claim:
    layers, weight = drawn.randint(3, 8), drawn.choice((1.0, 2.0, 4.0, 6.0))
    start = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value: Tensor = start
    for place in range(layers):
        value = torch.sigmoid(weight * value - (weight / 2 if place else 0.0))
    torch.autograd.backward(value)
    found = float(gradient_of(start))
    return Claim(
        f"Through {layers} sigmoid units in a row, all weights {shown(weight)}, the gradient "
        "becomes smaller, whatever the biases are.",
        weight < 4, found < 1 - 1e-9, f"With all scores at 0, where it is largest, it is "
        f"multiplied by {found:.3g}.",
    )  # fmt: skip


def _kept_scale(drawn: Random) -> Claim:
    gain, layers = drawn.choice((1, 2, 2, 4)), drawn.choice((5, 6, 8))
    width = 256
    x = torch.randn(64, width)
    before = float(x.square().mean())
    for _ in range(layers):
        x = torch.relu(x @ (torch.randn(width, width) * math.sqrt(gain / width)))
    ratio = float(x.square().mean()) / before
    return Claim(
        f"Initial weights of variance {gain}/n (n inputs per unit) keep the mean square of the "
        f"activations about the same through {layers} ReLU layers.",
        gain == 2, 0.25 < ratio < 4, f"Behind them it is {ratio:.3g} times what it was.",
    )  # fmt: skip


def _recurrence(drawn: Random) -> Claim:
    weight, steps = drawn.choice((0.5, 0.8, 0.9, 1.1, 1.2, -0.9, -1.2)), drawn.choice((20, 30, 50))
    word = drawn.choice(("grows", "shrinks"))
    state = torch.ones((), dtype=torch.float64, requires_grad=True)
    value: Tensor = state
    for _ in range(steps):
        value = weight * value
    torch.autograd.backward(value)
    size = abs(float(gradient_of(state)))
    return Claim(
        f"Through {steps} steps of the linear recurrence `h <- {shown(weight)} * h` the size of "
        f"the gradient {word}.",
        (abs(weight) > 1) == (word == "grows"), (size > 1) == (word == "grows"),
        f"It is multiplied by {size:.3g}.",
    )  # fmt: skip


def _alike(drawn: Random) -> Claim:
    units, name = drawn.randint(3, 8), drawn.choice(("tanh", "sigmoid"))
    start = drawn.choice(("all 0.1", "all 0", "drawn at random"))
    first, last = nn.Linear(3, units).double(), nn.Linear(units, 2).double()
    for layer in (first, last):
        nn.init.zeros_(layer.bias)
        if start != "drawn at random":
            nn.init.constant_(layer.weight, 0.1 if start == "all 0.1" else 0.0)
    module = nn.Sequential(first, nn.Tanh() if name == "tanh" else nn.Sigmoid(), last)
    optimizer, inputs = torch.optim.SGD(module.parameters(), lr=0.5), torch.randn(16, 3).double()
    for _ in range(10):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(module(inputs), (inputs[:, 0] > 0).long()))
        optimizer.step()
    count = distinct_rows(first.weight.detach())
    return Claim(
        f"A network has {units} {name} units in its hidden layer. Its weights start {start}, its "
        "biases with 0. After training all hidden units are still the same.",
        "random" not in start, count == 1, f"After 10 updates the weights have {count} different "
        f"{'row' if count == 1 else 'rows'}.",
    )  # fmt: skip


def _zero_input(drawn: Random) -> Claim:
    name, units = drawn.choice(("weights", "biases")), drawn.randint(2, 10)
    layer = nn.Linear(4, units).double()
    torch.autograd.backward(torch.tanh(layer(torch.zeros(3, 4).double())).sum())
    size = float(gradient_of(layer.weight if name == "weights" else layer.bias).abs().max())
    return Claim(
        f"If all inputs of a network are 0, the {name} of its first layer, of {units} tanh units, "
        "get no gradient.",
        name == "weights", size == 0, f"The largest element of that gradient is {size:.3g}.",
    )  # fmt: skip


def _norm_scaled(drawn: Random) -> Claim:
    factor, training = float(drawn.choice((2, 3, 10))), drawn.random() < 0.5
    layer, x = nn.BatchNorm1d(3, eps=1e-12).double().train(training), torch.randn(8, 3).double()
    with torch.no_grad():
        gap = float((layer(factor * x) - layer(x)).abs().max())
    return Claim(
        f"In {'training' if training else 'evaluation'} mode, multiplying all inputs of a "
        f"batchnorm layer by {shown(factor)} leaves its output as it is (for a tiny epsilon).",
        training, gap < 1e-6, f"The largest change of the output is {gap:.2g}.",
    )  # fmt: skip


def _norm_alone(drawn: Random) -> Claim:
    training, count = drawn.random() < 0.5, drawn.choice((4, 8, 16))
    layer, x = nn.BatchNorm1d(2).double().train(training), torch.randn(count, 2).double()
    with torch.no_grad():
        one = layer(x)[0]
        two = layer(torch.cat([x[:1], 3 * x[1:]]))[0]
    gap = float((one - two).abs().max())
    return Claim(
        f"In {'training' if training else 'evaluation'} mode, the output of batchnorm for the "
        f"first of {count} examples depends on the other examples.",
        training, gap > 1e-9, f"With the others three times as large it moves by {gap:.2g}.",
    )  # fmt: skip


def _norm_bias(drawn: Random) -> Claim:
    behind, units = drawn.choice(("batchnorm in training mode", "ReLU")), drawn.randint(2, 6)
    layer, x = nn.Linear(3, units).double(), torch.randn(16, 3).double()
    after = nn.BatchNorm1d(units).double() if "norm" in behind else nn.ReLU()
    torch.autograd.backward((after(layer(x)) * torch.randn(16, units).double()).sum())
    size = float(gradient_of(layer.bias).abs().max())
    return Claim(
        f"The biases of a linear layer of {units} units in front of {behind} get no gradient.",
        "norm" in behind, size < 1e-9, f"The largest element of that gradient is {size:.2g}.",
    )  # fmt: skip


def _dropout_mode(drawn: Random) -> Claim:
    p = drawn.choice((0.2, 0.25, 0.5, 0.75))
    said = either(drawn, 1.0, [1 - p, 1 / (1 - p), p])
    output = float(nn.Dropout(p).eval()(torch.ones(1).double()))
    return Claim(
        f"PyTorch's dropout with p = {shown(p)} multiplies each activation in evaluation mode by "
        f"{shown(said)}.",
        said == 1, close(output, said), f"An activation of 1 comes out as {output:.3g}.",
    )  # fmt: skip


def _dropout_kept(drawn: Random) -> Claim:
    p = drawn.choice((0.2, 0.25, 0.75, 0.8))
    said = either(drawn, 1 / (1 - p), [1 / p, 1.0, 1 - p])
    largest = float(nn.Dropout(p)(torch.ones(200).double()).max())
    return Claim(
        f"In training, PyTorch's dropout with p = {shown(p)} multiplies what it keeps by "
        f"{shown(said)}.",
        close(said, 1 / (1 - p)), close(largest, said), f"Kept ones come out as {largest:.4g}.",
    )  # fmt: skip


FACTS = (
    Fact(1, "sigmoid-saturation", _sigmoid_slope), Fact(3, "sigmoid-saturation", _tanh_of_sigmoid),
    Fact(2, "all-positive-inputs", _same_signs), Fact(2, "dead-relu", _dead),
    Fact(1, "dead-relu", _passes_nothing), Fact(2, "relu-speed", _relu_against),
    Fact(3, "vanishing-gradients", _chain), Fact(3, "vanishing-gradients", _kept_scale),
    Fact(1, "recurrent-gradients", _recurrence), Fact(2, "zero-weights", _alike),
    Fact(1, "zero-input", _zero_input), Fact(2, "batchnorm-regularizes", _norm_scaled),
    Fact(1, "batchnorm-regularizes", _norm_alone), Fact(3, "batchnorm-regularizes", _norm_bias),
    Fact(1, "overfitting-cures", _dropout_mode), Fact(1, "overfitting-cures", _dropout_kept),
)  # fmt: skip
