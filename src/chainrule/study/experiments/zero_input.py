"""All-zero input: the weights of the first layer get no gradient, its biases do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import digits, net
from chainrule.study.measured import Part, mean_of, worst_of
from chainrule.study.picture import Curve, Panel, Picture

_TINY = 1e-9


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        network: notation.
        value: what every input is.
        examples: in the minibatch.
        runs: draws of the weights.
    """

    network: str = "FC-16, TANH, FC-10"
    value: float = 0.0
    examples: int = 64
    runs: int = 5


def measure(setup: Setup, seed: int) -> Outcome:
    """Norms of the gradients of a minibatch whose inputs are all the same."""
    runs = [_gradients(setup, seed + run) for run in range(setup.runs)]
    weights = [run["first weights"] for run in runs]
    biases = [run["first biases"] for run in runs]
    parts = (
        Part(
            "the weights of the first layer get no gradient",
            worst_of("norm of dL/dW1", weights),
            at_most=_TINY,
        ),
        Part(
            "its biases get one",
            mean_of("norm of dL/db1", biases),
            at_least=_TINY,
        ),
    )
    return Outcome(parts, (_picture(runs),))


def _gradients(setup: Setup, seed: int) -> dict[str, float]:
    """Gradient norms by parameter."""
    material = digits(setup.examples, seed)
    module = net(setup.network, seed)
    inputs = torch.full_like(material.inputs, setup.value)
    loss = nn.functional.cross_entropy(module(inputs), material.targets)
    torch.autograd.backward(loss)
    norms = [float(p.grad.norm()) for p in module.parameters() if p.grad is not None]
    return dict(
        zip(("first weights", "first biases", "last weights", "last biases"), norms, strict=True)
    )


def _picture(runs: list[dict[str, float]]) -> Picture:
    names = tuple(runs[0])
    means = tuple(sum(run[name] for run in runs) / len(runs) for name in names)
    places = tuple(float(place) for place in range(len(names)))
    panel = Panel(
        "Gradient by parameter", "parameters", "norm of the gradient",
        (Curve("", places, means, kind="bars"),), categories=names,
    )  # fmt: skip
    return Picture(
        "An all-zero minibatch", "Norm of the gradient of each parameter: 0 for W1", (panel,)
    )


EXPERIMENT = Experiment(
    name="zero-input",
    title="What does a network learn from an all-zero input?",
    claim="If all inputs are zero, the weights of the first layer get no gradient: it is the "
    "product of the upstream gradient and the input. Biases still get theirs.",
    hypothesis="dL/dW1 = sum over the examples of (upstream gradient) x (input) is exactly 0; "
    "dL/db1 is the upstream gradient alone and is not.",
    set_up="{network} on {examples} digits whose pixels are all set to {value}; {runs} draws of "
    "the weights.",
    setup=Setup(),
    sabotage="every input is 1 instead of 0",
    sabotaged=Setup(value=1.0),
    measure=measure,
    next=(
        "chainrule flow 'FC-16, TANH, FC-10' --data digits shows the same norms for real inputs",
        "set only one pixel to zero in all examples: its column of W1 gets no gradient",
    ),
    references=("Stanford CS231n, notes on backpropagation: the multiply gate",),
)
