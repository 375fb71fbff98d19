"""Symmetry between units, signs of gradients and gradients of nothing."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import nn

from chainrule.study.experiments.zero_weights import distinct_rows
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, row, shown
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

_FUNCTIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "ReLU": nn.ReLU,
}  # fmt: skip
_STEPS, _RATE, _INPUTS, _CLASSES = 25, 0.5, 3, 3


@dataclass(frozen=True)
class _Start:
    """How a hidden layer starts: weights that are all alike, or drawn; biases."""

    activation: str
    weight: float | None
    biases: tuple[float, ...]

    @property
    def units(self) -> int:
        return len(self.biases)

    def distinct(self) -> int:
        """By the argument of symmetry: units that start alike stay alike."""
        if self.weight is None:
            return self.units
        if self.activation == "ReLU" and self.weight == 0:
            alive = {bias for bias in self.biases if bias > 0}
            return len(alive) + any(bias < 0 for bias in self.biases)
        return len(set(self.biases))

    def trained(self) -> int:
        """By a real training: rows of W1 that differ at the end."""
        hidden = nn.Linear(_INPUTS, self.units)
        last = nn.Linear(self.units, _CLASSES)
        with torch.no_grad():
            if self.weight is not None:
                hidden.weight.fill_(self.weight)
                last.weight.fill_(self.weight)
            hidden.bias.copy_(torch.tensor(self.biases))
            last.bias.zero_()
        module = nn.Sequential(hidden, _FUNCTIONS[self.activation](), last).double()
        _train(module)
        return distinct_rows(hidden.weight.detach())


def _train(module: nn.Module) -> None:
    """A few steps of SGD on random examples whose classes depend on them."""
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(24, _INPUTS, generator=random, dtype=torch.float64)
    targets = inputs.argmax(1)
    optimizer = torch.optim.SGD(module.parameters(), lr=_RATE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(module(inputs), targets))
        optimizer.step()


def _start(drawn: Random, level: int) -> _Start:
    """Level 1: equal biases; 2: different biases; 3: some equal, some negative."""
    units, name = drawn.randint(4, 8), drawn.choice(tuple(_FUNCTIONS))
    if level == 1:
        bias = drawn.choice((0.0, 0.1, 0.5))
        weight = drawn.choice((0.0, 0.1, 0.5, None))
        if name == "ReLU" and weight == 0 and bias == 0:
            weight = 0.1  # at the kink nothing moves at all
        return _Start(name, weight, (bias,) * units)
    values = drawn.sample((-0.8, -0.6, -0.4, -0.2, 0.2, 0.3, 0.5, 0.7, 0.9), units)
    if level == 3:
        name, units = drawn.choice(("ReLU", "ReLU", "tanh")), drawn.randint(5, 8)
        values = [drawn.choice((-0.6, -0.4, 0.2, 0.3, 0.5, 0.9)) for _ in range(units)]
    return _Start(name, 0.0, tuple(values))


def _symmetry(drawn: Random, level: int) -> Draft:
    start = _start(drawn, level)
    right, units = start.distinct(), start.units
    negative = sum(bias < 0 for bias in start.biases)
    different = len(set(start.biases))
    weights = "drawn at random" if start.weight is None else f"all {shown(start.weight)}"
    biases = f"all {shown(start.biases[0])}" if level == 1 else f"`{row(start.biases)}`"
    return Draft(
        text=f"A network has {units} {start.activation} units in its one hidden layer. All its "
        f"weights start as follows: {weights}; the biases of the hidden units: {biases}. After "
        f"training with SGD, how many different rows has the hidden layer's weight matrix "
        f"(one row per unit, {units} in all)?",
        conventions=("the output layer's biases start at 0; softmax loss, no dropout",
                     "rows of zeros count as one row"),
        expected=Number(right, "rows"),
        proved=start.trained(),
        way=f"training such a network for {_STEPS} steps",
        mistakes=mistaken(
            (units, "thinks that training makes all units differ"),
            (1, "thinks that the units stay alike"),
            (units - negative, "counts the units with positive biases only"),
            (different, "forgets that ReLU units with a negative bias never get a gradient"),
            (2, "thinks that some units grow and the others shrink, alike within each group"),
            (units - 1, "thinks that one unit keeps its start"),
            (0, "thinks that nothing is learned"),
        ),
        solution=_reason(start),
        experiment="zero-weights",
    )  # fmt: skip


def _reason(start: _Start) -> tuple[str, ...]:
    if start.weight is None:
        return ("units that start different get different gradients", f"{start.units} rows")
    if start.activation == "ReLU" and start.weight == 0:
        alive = len({bias for bias in start.biases if bias > 0})
        return (
            "a ReLU whose bias is below 0 is 0 for every input, as its weights are 0: its row "
            "stays 0",
            f"different positive biases: {alive}; a row of zeros: "
            f"{int(any(bias < 0 for bias in start.biases))}",
            f"{start.distinct()} rows",
        )
    return (
        "units with equal weights and biases get equal gradients and stay equal; different biases "
        "give different outputs, so different gradients",
        f"{start.distinct()} rows",
    )


def _signs(drawn: Random, level: int) -> Draft:
    return _patterns(drawn) if level == 1 else _possible(drawn)


def _patterns(drawn: Random) -> Draft:
    inputs = drawn.randint(3, 10)
    what = drawn.choice(("sigmoid units", "ReLU units that all fire", "pixels from 1 to 255"))
    random = torch.rand(inputs, dtype=torch.float64) + 0.1
    found = {tuple((g * random).sign().tolist()) for g in (-2.0, -0.5, 0.7, 3.0)}
    return Draft(
        text=f"The {inputs} inputs of a unit are {what}: all positive. How many different patterns "
        "of signs can the gradient of its weights have, for a single example?",
        conventions=("gradients of exactly 0 are left out",),
        expected=Number(2, "patterns"),
        proved=len(found),
        way="multiplying positive inputs by upstream gradients of both signs",
        mistakes=mistaken(
            (2**inputs, "thinks that signs are free, as with inputs of both signs"),
            (1, "forgets that the upstream gradient may be negative"),
            (inputs, "counts the inputs"),
            (2 * inputs, "counts two signs for each input"),
        ),
        solution=(
            "dL/dw_i = upstream gradient times x_i with x_i > 0: all signs are that of the "
            "upstream gradient",
            "2 patterns: all positive or all negative",
        ),
        experiment="all-positive-inputs",
    )  # fmt: skip


def _possible(drawn: Random) -> Draft:
    """Which gradients of the weights are possible for this input?"""
    positive = drawn.random() < 0.4
    x = [float(drawn.choice((1, 2, 3, 4) if positive else (-3, -2, -1, 1, 2, 4))) for _ in range(3)]
    factors = drawn.sample((-2.0, -1.0, -0.5, 0.5, 2.0, 3.0), 2)
    rows = [[g * item for item in x] for g in factors[: drawn.randint(1, 2)]]
    while len(rows) < 4:
        other = [drawn.choice((-1, 1)) * abs(drawn.choice(factors) * item) for item in x]
        if drawn.random() < 0.3:
            other = [drawn.choice(factors)] * 3
        if other not in rows:
            rows.append(other)
    options = tuple(
        Option(f"`{row(item)}`", _proportional(item, x), _told(item, x)) for item in rows
    )
    return Draft(
        text=f"A unit with the score `w . x + b` sees one example, x = `{row(x)}`. Which of these "
        "can be the gradient of its weights w, whatever the upstream gradient is? (Select all.)",
        options=options,
        several=True,
        proved=tuple(_reached(item, x) for item in rows),
        way="autograd with the upstream gradient that fits the first weight",
        solution=(
            "the gradient is the upstream gradient of the score times x: a multiple of x",
            *(f"{option.text}: {option.why}" for option in options),
        ),
        experiment="all-positive-inputs",
    )


def _proportional(gradient: list[float], x: list[float]) -> bool:
    return all(abs(gradient[0] * b - x[0] * a) < 1e-9 for a, b in zip(gradient, x, strict=True))


def _told(gradient: list[float], x: list[float]) -> str:
    ratios = [a / b for a, b in zip(gradient, x, strict=True)]
    if _proportional(gradient, x):
        return f"It is {shown(ratios[0])} times x."
    return f"Divided by x it gives {row(ratios)}, which would have to be one number."


def _reached(gradient: list[float], x: list[float]) -> bool:
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    inputs = torch.tensor(x, dtype=torch.float64)
    upstream = torch.tensor(gradient[0] / x[0], dtype=torch.float64)
    torch.autograd.backward(weights @ inputs, upstream)
    assert weights.grad is not None
    return torch.allclose(weights.grad, torch.tensor(gradient, dtype=torch.float64))


FAMILIES = (
    Family("distinct-units", "symmetry", "units that stay alike", LEVELS, _symmetry),
    Family("gradient-signs", "symmetry", "signs of a unit's gradient", (1, 2), _signs),
)  # fmt: skip
