"""Gradients of nothing: which parameters get none, by the chain rule and by autograd."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.study.practice.families.drawing import shown
from chainrule.study.practice.question import Draft, Family, Option

_FUNCTIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "ReLU": nn.ReLU,
}  # fmt: skip


@dataclass(frozen=True)
class _Network:
    """x -> W1, b1 -> activation -> W2, b2 -> softmax loss, with some of it 0."""

    activation: str
    zero_input: bool
    zero_first: bool
    zero_second: bool
    bias: float

    def zeros(self) -> dict[str, bool]:
        """Which gradients are 0, by the chain rule."""
        score = self.bias if self.zero_input or self.zero_first else None  # of all hidden units
        silent = self.activation == "ReLU" and score is not None and score < 0
        off = silent or (self.activation != "sigmoid" and score == 0)  # outputs are 0
        blocked = self.zero_second or silent
        return {"W1": blocked or self.zero_input, "b1": blocked, "W2": off, "b2": False}

    def sizes(self) -> dict[str, float]:
        """The largest gradient of each parameter, by autograd."""
        first, second = (torch.randn(shape, dtype=torch.float64) for shape in ((4, 3), (2, 4)))
        values = {
            "W1": 0 * first if self.zero_first else first,
            "b1": torch.full((4,), self.bias, dtype=torch.float64),
            "W2": 0 * second if self.zero_second else second,
            "b2": torch.zeros(2, dtype=torch.float64),
        }
        for value in values.values():
            value.requires_grad_()
        inputs = torch.randn(5, 3, dtype=torch.float64) * (not self.zero_input)
        torch.autograd.backward(self._loss(values, inputs))
        return {name: float(value.grad.abs().max()) for name, value in values.items()
                if value.grad is not None}  # fmt: skip

    def _loss(self, values: dict[str, Tensor], inputs: Tensor) -> Tensor:
        hidden = _FUNCTIONS[self.activation]()(F.linear(inputs, values["W1"], values["b1"]))
        scores = F.linear(hidden, values["W2"], values["b2"])
        return F.cross_entropy(scores, torch.tensor([0, 0, 0, 1, 0]))

    def told(self) -> str:
        bias = "0" if self.bias == 0 else shown(self.bias)
        weights = [
            f"{name} {'all 0' if zero else 'random'}"
            for name, zero in (("W1", self.zero_first), ("W2", self.zero_second))
        ]
        inputs = "All inputs are 0" if self.zero_input else "The inputs are random"
        return f"{inputs}; {', '.join(weights)}; every element of b1 is {bias}, b2 is 0"


def _network(drawn: Random, level: int) -> _Network:
    while True:
        name = drawn.choice(tuple(_FUNCTIONS))
        zero_input = level == 1 or drawn.random() < 0.4
        first, second = (level > 1 and drawn.random() < 0.4 for _ in range(2))
        bias = drawn.choice((0.0, 0.5, -0.5, 1.0, -1.0, 0.2, -0.2, 2.0, -2.0, 0.1, -0.1))
        known = zero_input or first
        if name == "ReLU" and (not known or bias == 0):
            continue  # with random scores nothing is certain, and 0 is a kink
        if known or second:
            return _Network(name, zero_input, first, second, bias)


def _zero_gradients(drawn: Random, level: int) -> Draft:
    network = _network(drawn, level)
    zeros, sizes = network.zeros(), network.sizes()
    options = tuple(
        Option(name, zeros[name], f"The largest element of its gradient is {sizes[name]:.3g}.")
        for name in ("W1", "b1", "W2", "b2")
    )
    return Draft(
        text=f"A network computes `W2 * {network.activation}(W1 * x + b1) + b2` with softmax loss "
        f"for two classes. {network.told()}. Which parameters get a gradient of exactly 0? "
        "(Select all.)",
        conventions=("of 5 examples 4 belong to the first class",),
        options=options,
        several=True,
        proved=tuple(sizes[name] == 0 for name in ("W1", "b1", "W2", "b2")),
        way="autograd",
        solution=(
            "dL/dW2 is the gradient of the scores times the hidden outputs, dL/db2 is it alone",
            "dL/db1 comes through W2 and the local gradient of the activation; dL/dW1 is that "
            "times the input",
            *(f"{option.text}: {option.why}" for option in options),
        ),
        experiment="zero-input",
    )  # fmt: skip


FAMILIES = (
    Family("zero-gradients", "symmetry", "gradients that are exactly 0", (1, 2), _zero_gradients),
)  # fmt: skip
