"""Sigmoid saturation: how much gradient large weights leave, below and above the unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.nn.weighted import weighted_layers
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, fit, net
from chainrule.study.measured import Part, exact, mean_of, ratio_of
from chainrule.study.picture import Panel, Picture, Table, curve

_SATURATED = 0.01  # closer than this to 0 or 1
_WHICH = ("first", "all")
_WHEN = {
    "first": "only the weights below the units are large",
    "all": "the weights above them are as large",
}


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        network: notation.
        large: factor on PyTorch's usual initial weights that is called large.
        scales: all factors of the pictures.
        examples: in the minibatch.
        steps: updates of the trainings.
        rate: learning rate (SGD).
        runs: seeds of each.
    """

    network: str = "FC-64, SIGMOID, FC-64, SIGMOID, FC-10"
    large: float = 30.0
    scales: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    examples: int = 256
    steps: int = 150
    rate: float = 0.5
    runs: int = 6


@dataclass(frozen=True)
class Look:
    """A network at its start.

    Attributes:
        saturated: share (%) of the first sigmoids' outputs that are within 0.01 of 0 or 1.
        local: root mean square of their local gradients a (1 - a).
        gradient: norm of dL/dW1.
    """

    saturated: float
    local: float
    gradient: float


Looks = dict[float, list[Look]]


def measure(setup: Setup, seed: int) -> Outcome:
    """Scale the initial weights of the first layer, then of all; what gradient is left?"""
    looks = {
        which: {
            scale: [_look(setup, seed + run, which, scale) for run in range(setup.runs)]
            for scale in {*setup.scales, setup.large}
        }
        for which in _WHICH
    }
    parts = (_quarter(), _shares(setup, looks["first"]),
             *(_left(setup, which, looks[which]) for which in _WHICH))  # fmt: skip
    notes: tuple[str, ...] = (
        "With weights scaled by a large s the share of unsaturated units falls as 1/s, so that "
        "the root mean square of the local gradients falls only as 1/sqrt(s); each layer of large "
        "weights above multiplies what is left by s: then the gradient grows, carried by few "
        "units.",
    )
    if setup.large > 1:
        notes += (
            "Both networks with large weights learn faster here than the usual one (second "
            "table, one learning rate for all). A likely reason, not tested here: the layers above "
            "learn from saturated units as from fixed yes-or-no features.",
        )
    tables = (_numbers(setup, looks), _trainings(setup, seed))
    return Outcome(parts, (_picture(setup, looks),), tables, notes)


def _look(setup: Setup, seed: int, which: str, scale: float) -> Look:
    module = scaled(net(setup.network, seed), which, scale)
    return look(module, digits(setup.examples, seed))


def scaled(module: nn.Module, which: str, scale: float) -> nn.Module:
    """The network with its weights (not biases) times a factor, in the "first" layer or "all"."""
    layers = [layer for _, layer in weighted_layers(module)]
    with torch.no_grad():
        for layer in layers[:1] if which == "first" else layers:
            layer.weight.mul_(scale)
    return module


def look(module: nn.Module, material: Material) -> Look:
    """One pass forward and back over all of the material."""
    seen: list[Tensor] = []
    sigmoids = (layer for layer in module.modules() if isinstance(layer, nn.Sigmoid))
    handle = next(sigmoids).register_forward_hook(lambda _m, _i, output: seen.append(output))
    loss = nn.functional.cross_entropy(module(material.inputs), material.targets)
    handle.remove()
    output = seen[0].detach().double()
    first = next(layer for _, layer in weighted_layers(module)).weight
    (gradient,) = torch.autograd.grad(loss, first)
    saturated = (output < _SATURATED) | (output > 1 - _SATURATED)
    local = (output * (1 - output)).square().mean().sqrt()
    return Look(100 * float(saturated.double().mean()), float(local), float(gradient.norm()))


def local_gradient(places: Tensor) -> Tensor:
    """The slope of the sigmoid, by autograd."""
    inputs = places.clone().requires_grad_()
    (found,) = torch.autograd.grad(torch.sigmoid(inputs).sum(), inputs)
    return found


def _quarter() -> Part:
    places = torch.linspace(-20, 20, 40001, dtype=torch.float64)
    largest = float(local_gradient(places).max())
    return Part(
        "the local gradient of a sigmoid is at most 1/4",
        exact("largest slope on [-20, 20]", largest), at_most=0.25 + 1e-12,
    )  # fmt: skip


def _shares(setup: Setup, looks: Looks) -> Part:
    shares = [one.saturated for one in looks[setup.large]]
    return Part(
        "large weights saturate most sigmoid units",
        mean_of(f"outputs within {_SATURATED} of 0 or 1, weights times {setup.large:g}",
                shares, "%"),
        at_least=50,
    )  # fmt: skip


def _left(setup: Setup, which: str, looks: Looks) -> Part:
    pairs = zip(looks[setup.large], looks[1.0], strict=True)
    return Part(
        "the first layer then gets less than half of its gradient",
        ratio_of(f"norm of dL/dW1, {which} weights times {setup.large:g}, against usual weights",
                 [large.gradient / usual.gradient for large, usual in pairs]),
        at_most=0.5, when=_WHEN[which],
    )  # fmt: skip


def _mean(looks: list[Look], name: str) -> float:
    return sum(float(getattr(one, name)) for one in looks) / len(looks)


def _picture(setup: Setup, looks: dict[str, Looks]) -> Picture:
    places = torch.linspace(-8, 8, 161, dtype=torch.float64)
    shape = Panel(
        "One unit", "input of the sigmoid", "value",
        (curve("sigmoid", torch.sigmoid(places).tolist(), places.tolist()),
         curve("local gradient", local_gradient(places).tolist(), places.tolist())),
        marks=((0.25, "1/4"),),
    )  # fmt: skip
    shares = Panel(
        "Saturation of the first layer", "factor on the weights", "saturated outputs (%)",
        (curve("", [_mean(looks["first"][s], "saturated") for s in setup.scales], setup.scales),),
        x_log=True,
    )  # fmt: skip
    first, whole = ([_mean(looks[which][s], "gradient") for s in setup.scales] for which in _WHICH)
    law = [first[-1] * (setup.scales[-1] / s) ** 0.5 for s in setup.scales]
    left = Panel(
        "Gradient of the first layer", "factor on the weights", "norm of dL/dW1",
        (curve("first layer scaled", first, setup.scales),
         curve("all layers scaled", whole, setup.scales),
         curve("proportional to 1/sqrt(factor)", law, setup.scales, dashed=True)),
        x_log=True, y_log=True,
    )  # fmt: skip
    return Picture(
        "Saturation and what it costs",
        "The sigmoid and its slope; the share of saturated units, which grows with the weights; "
        "the gradient of the first layer, which falls with its own weights and grows where all "
        "weights grow",
        (shape, shares, left),
    )


def _numbers(setup: Setup, looks: dict[str, Looks]) -> Table:
    rows = tuple(
        (scale, _mean(looks["first"][scale], "saturated"), _mean(looks["first"][scale], "local"),
         _mean(looks["first"][scale], "gradient"), _mean(looks["all"][scale], "gradient"))
        for scale in setup.scales
    )  # fmt: skip
    return Table(
        ("factor", "saturated (%)", "local gradient (rms)", "norm of dL/dW1, first scaled",
         "all scaled"),
        rows,
    )  # fmt: skip


def _trainings(setup: Setup, seed: int) -> Table:
    """Whether such networks learn: the loss of the last tenth of the steps."""
    rows = []
    for name, which, scale in (("usual", "all", 1.0), *((w, w, setup.large) for w in _WHICH)):
        ends = [_end(setup, seed + run, which, scale) for run in range(setup.runs)]
        found = mean_of("", ends)
        rows.append((name if scale == 1 else f"{name} times {scale:g}", found.value, found.low,
                     found.high))  # fmt: skip
    heads = ("weights", f"loss after {setup.steps} steps (nats)", "low", "high")
    return Table(heads, tuple(rows))


def _end(setup: Setup, seed: int, which: str, scale: float) -> float:
    module = scaled(net(setup.network, seed), which, scale)
    losses = fit(module, digits(), steps=setup.steps, seed=seed, rate=setup.rate).losses
    last = losses[-max(1, setup.steps // 10) :]
    return sum(last) / len(last)


EXPERIMENT = Experiment(
    name="sigmoid-saturation",
    title="Do saturated sigmoids kill the gradient?",
    claim="The local gradient of a sigmoid is at most 1/4, and next to nothing where its output "
    "is near 0 or 1. If the initial weights are too large, most units saturate and hardly any "
    "gradient flows through them to the layers below.",
    hypothesis="The slope is a (1 - a), at most 1/4 (at a = 1/2), at most 0.0099 where a is "
    "within 0.01 of 0 or 1. Weights s times as large spread the inputs of the units s times as "
    "wide, so that most lie beyond +-4.6, where the output is that near.",
    set_up="{network} on {examples} digits, PyTorch's initial weights times {large}, in the first "
    "layer or in all layers; {runs} draws of the weights. The table trains these networks for "
    "{steps} steps of SGD with rate {rate}.",
    setup=Setup(),
    sabotage="the large weights are the usual ones (factor 1)",
    sabotaged=Setup(large=1.0),
    measure=measure,
    next=(
        "chainrule flow 'FC-64, SIGMOID, FC-64, SIGMOID, FC-10' --data digits tells the share "
        "of saturated units layer by layer",
        "chainrule derive 'a = sigmoid(w*x + b)' writes the slope out as a (1 - a)",
    ),
    references=(
        "Stanford CS231n, notes on neural networks, part 1: commonly used activation functions",
        "X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward "
        "neural networks, AISTATS 2010",
    ),
)
