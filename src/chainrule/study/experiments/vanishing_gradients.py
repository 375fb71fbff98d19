"""Vanishing gradients: depth, activation and initial weights, and the product that tells it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.nn.initializers import initialize
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, generator, net
from chainrule.study.measured import Part, ratio_of, worst_of
from chainrule.study.picture import Panel, Picture, Table, curve

_ACTIVATIONS = ("SIGMOID", "TANH", "RELU")
_STARTS = ("default", "xavier", "he", "small", "large", "huge")
_NAMES = {"SIGMOID": "sigmoid", "TANH": "tanh", "RELU": "ReLU", "xavier": "Xavier", "he": "He",
          "default": "PyTorch's default", "small": "too small", "large": "too large",
          "huge": "much too large"}  # fmt: skip
_FACTOR = 10.0  # vanishes or explodes: by this factor or more from the last layer to the first


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        depth: hidden layers.
        width: units of each.
        small_std: standard deviation of weights that are too small.
        large_std: and of weights that are too large.
        huge_std: and of weights with which even a layer of sigmoid units, whose slopes are at
            most 1/4, can multiply by more than 1: width^(1/2) huge_std / 4 is far above it.
        examples: in the minibatch.
        runs: draws of the weights.
    """

    depth: int = 10
    width: int = 64
    small_std: float = 0.01
    large_std: float = 0.5
    huge_std: float = 5.0
    examples: int = 128
    runs: int = 8


@dataclass(frozen=True)
class Signals:
    """One network at its start.

    Attributes:
        norms: by hidden layer, first to last, the norm of dL/dz (z: the layer's output before
            the activation), over all examples.
        gains: by step from one hidden layer down to the one before it, what the formula says
            the norm is multiplied by; the first is the step to the first layer.
    """

    norms: tuple[float, ...]
    gains: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Gradient of the first layer against that of the last."""
        return self.norms[0] / self.norms[-1]


Runs = dict[tuple[str, str], list[Signals]]


def measure(setup: Setup, seed: int) -> Outcome:
    """Gradient by layer for each activation and each way to draw the weights."""
    runs = {
        (activation, start): [_one(setup, activation, start, seed + run)
                              for run in range(setup.runs)]
        for activation in _ACTIVATIONS for start in _STARTS
    }  # fmt: skip
    parts = (
        *_formula(setup, runs),
        _vanishes(
            "it vanishes through sigmoid units, even from Xavier's weights",
            runs,
            "SIGMOID",
            "xavier",
        ),
        _vanishes("it vanishes where the weights are too small", runs, "RELU", "small"),
        *(_explodes(runs, activation, "large", setup.large_std) for activation in _ACTIVATIONS),
        _explodes(runs, "SIGMOID", "huge", setup.huge_std),
        *_kept(runs, (("TANH", "xavier"), ("RELU", "he"), ("RELU", "xavier"))),
    )
    notes = (
        f"A layer of {setup.width} sigmoid units multiplies the gradient by at most "
        f"{math.sqrt(setup.width) * setup.large_std / 4:g} where the weights have a standard "
        f"deviation of {setup.large_std:g}, so that it vanishes there too; with {setup.huge_std:g} "
        "most units are saturated, and the few that are not pass on enough to make it explode.",
        "The formula takes weights, slopes and the gradient from above for independent. Where "
        f"the weights have a standard deviation of {setup.huge_std:g} few tanh units are not "
        "saturated, and the same ones pass on nearly everything: there it is far off.",
        "PyTorch's default is uniform within 1/sqrt(n), variance 1/(3n): a third of Xavier's, so "
        "that the gradient vanishes through ten such layers of any of the three activations.",
    )
    return Outcome(parts, (_picture(setup, runs),), (_table(runs),), notes)


def _one(setup: Setup, activation: str, start: str, seed: int) -> Signals:
    text = f"[FC-{setup.width}, {activation}] x {setup.depth}, FC-10"
    module = net(text, seed)
    stds = {"small": setup.small_std, "large": setup.large_std, "huge": setup.huge_std}
    std = stds.get(start)
    if std is not None:
        initialize(module, "normal", std=std, generator=generator(seed))
    else:
        initialize(module, start, generator=generator(seed))
    return signals(module, digits(setup.examples, seed))


def signals(module: nn.Module, material: Material) -> Signals:
    """One pass forward and back through FC layers with an activation after each but the last."""
    kept: list[Tensor] = []
    slopes: list[Tensor] = []
    value = material.inputs.double()
    for layer in module.double().children():
        if kept and not isinstance(layer, nn.Linear):
            slopes.append(slope(layer, value))
        value = layer(value)
        if isinstance(layer, nn.Linear):
            kept.append(value)
    loss = nn.functional.cross_entropy(value, material.targets)
    norms = [float(one.norm()) for one in torch.autograd.grad(loss, kept[:-1])]
    weights = [layer.weight.detach() for layer in module.children() if isinstance(layer, nn.Linear)]
    gains = map(layer_gain, weights[1:-1], slopes)
    return Signals(tuple(norms), tuple(gains))


def slope(activation: nn.Module, inputs: Tensor) -> Tensor:
    """Local gradient of an activation at each of its inputs."""
    point = inputs.detach().requires_grad_()
    (found,) = torch.autograd.grad(activation(point).sum(), point)
    return found


def layer_gain(weight: Tensor, slopes: Tensor) -> float:
    """What the norm of the gradient is multiplied by on the way through a layer, down to z.

    sqrt(n var(W) mean f'(z)^2) for n units, as if weights, slopes and the gradient from above
    were independent.

    Args:
        weight: (m, n) of the layer above.
        slopes: (examples, n) f'(z) of the units below.
    """
    square = weight.square().mean() * slopes.square().mean()
    return math.sqrt(weight.shape[1] * float(square))


def _formula(setup: Setup, runs: Runs) -> tuple[Part, Part]:
    """Apart for huge weights, with which its assumption of independence is least likely."""
    return (
        _predicts([one for (_, start), some in runs.items() if start != "huge" for one in some],
                  f"layer gains are multiplied for weights of at most {setup.large_std:g}"),
        _predicts([one for (_, start), some in runs.items() if start == "huge" for one in some],
                  f"layer gains are multiplied for weights of {setup.huge_std:g}"),
    )  # fmt: skip


def _predicts(some: Sequence[Signals], when: str) -> Part:
    apart = [abs(math.log(one.ratio / math.prod(one.gains))) for one in some]
    return Part(
        "the product of the layer gains predicts the gradient (within a factor of 2)",
        worst_of("factor between measured and predicted", list(map(math.exp, apart)), "times"),
        at_most=2, when=when,
    )  # fmt: skip


def _ratio(runs: Runs, activation: str, start: str) -> tuple[str, list[float]]:
    name = f"{_NAMES[activation]}, {_NAMES[start]}: gradient of the first layer"
    return f"{name} against the last", [one.ratio for one in runs[activation, start]]


def _vanishes(says: str, runs: Runs, activation: str, start: str) -> Part:
    found = ratio_of(*_ratio(runs, activation, start))
    return Part(f"{says} (to a tenth or less)", found, at_most=1 / _FACTOR)


def _explodes(runs: Runs, activation: str, start: str, std: float) -> Part:
    return Part(
        "the gradient explodes where the weights are too large (tenfold or more)",
        ratio_of(*_ratio(runs, activation, start)),
        at_least=_FACTOR,
        when=f"{_NAMES[activation]} units get weights of standard deviation {std:g}",
    )  # fmt: skip


def _kept(runs: Runs, cases: Sequence[tuple[str, str]]) -> tuple[Part, ...]:
    return tuple(
        Part(
            "a well chosen scale keeps it (within a factor of 10)",
            ratio_of(*_ratio(runs, activation, start)),
            at_least=1 / _FACTOR, at_most=_FACTOR,
            when=f"{_NAMES[activation]} units get {_NAMES[start]}'s weights",
        )
        for activation, start in cases
    )  # fmt: skip


def _picture(setup: Setup, runs: Runs) -> Picture:
    layers = range(1, setup.depth + 1)
    panels = []
    for activation in _ACTIVATIONS:
        curves = []
        for start in _STARTS:
            relative = [[norm / one.norms[-1] for norm in one.norms]
                        for one in runs[activation, start]]  # fmt: skip
            middle = [ratio_of("", column).value for column in zip(*relative, strict=True)]
            curves.append(curve(_NAMES[start], middle, layers))
        panels.append(Panel(
            f"{_NAMES[activation]} units", "hidden layer", "gradient relative to the last layer",
            tuple(curves), y_log=True, marks=((1.0, "kept"),),
        ))  # fmt: skip
    return Picture(
        "The gradient on its way down",
        "Norm of the gradient by hidden layer relative to the last one, for sigmoid, tanh and "
        "ReLU units: it falls or grows by a steady factor from layer to layer, except where "
        "Xavier meets tanh and He meets ReLU",
        tuple(panels),
    )


def _table(runs: Runs) -> Table:
    rows = []
    for (activation, start), some in runs.items():
        found = ratio_of("", [one.ratio for one in some])
        predicted = ratio_of("", [math.prod(one.gains) for one in some]).value
        rows.append((_NAMES[activation], _NAMES[start], found.value, found.low, found.high,
                     predicted))  # fmt: skip
    heads = ("units", "weights", "first against last", "low", "high", "product of layer gains")
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="vanishing-gradients",
    title="When does the gradient vanish, explode or keep its size?",
    claim="The gradient that reaches the first layers is a product with a factor for each layer. "
    "Through many sigmoid layers, or with too small weights, it vanishes; with too large weights "
    "it explodes; Xavier's and He's initial weights keep it.",
    hypothesis="On its way down to n units the squared norm of the gradient is multiplied by "
    "n var(W) mean f'(z)^2. For He (var 2/n) and ReLU (half the slopes are 1) that is 1; for "
    "Xavier (var 1/n) and tanh a little below 1; for Xavier and sigmoid at most 1/16; for Xavier "
    "and ReLU 1/2. A sigmoid's slope is at most 1/4, so that weights which are too large for ReLU "
    "may still be too small for sigmoid units to explode.",
    set_up="{depth} hidden layers of {width} units on {examples} digits, float64, {runs} draws of "
    "the weights: PyTorch's default, Xavier, He, normal with standard deviation {small_std} (too "
    "small), {large_std} (too large) and {huge_std} (much too large). The norm of dL/dz, z being "
    "a layer's output before its activation, is compared between the first and the last hidden "
    "layer.",
    setup=Setup(),
    sabotage="two hidden layers instead of ten",
    sabotaged=Setup(depth=2),
    measure=measure,
    next=(
        "chainrule flow '[FC-64, SIGMOID] x 10, FC-10' --data digits names the symptom",
        "put BN between FC and SIGMOID in the same command: what does it repair, and what not?",
    ),
    references=(
        "S. Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991",
        "X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward "
        "neural networks, AISTATS 2010",
        "K. He, X. Zhang, S. Ren and J. Sun, Delving deep into rectifiers, ICCV 2015",
        "Stanford CS231n, notes on neural networks, part 2: weight initialization",
    ),
)
