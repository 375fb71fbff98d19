"""Weight decay: what one or two steps of SGD make of a weight that is penalized."""

from __future__ import annotations

from random import Random

import torch

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, quarters, shown, until
from chainrule.study.practice.question import Draft

_ORDER = "plain SGD: w <- w - rate x gradient of the full loss"
_FORMULAS = {0.5: "lambda/2 w^2", 1.0: "lambda w^2"}


def step(drawn: Random, level: int) -> Draft:
    """Level 1 has a penalty alone, level 2 a data gradient too; level 3 takes two steps."""
    weight, rate, strength, data, factor = until(
        lambda: _drawn(drawn, level), lambda found: _clear(level, *found)
    )
    steps = 2 if level == 3 else 1
    decay = 2 * factor * strength

    def after(rate: float, decay: float, data: float, steps: int = steps) -> float:
        value = weight
        for _ in range(steps):
            value -= rate * (data + decay * value)
        return value

    right = after(rate, decay, data)
    loss = "The data loss has no gradient here" if level == 1 else (
        f"The data loss has the gradient {shown(data)} with respect to it"
        + (" in both steps" if level == 3 else "")
    )  # fmt: skip
    return Draft(
        text=f"A weight is w = {shown(weight)}. {loss}, and the penalty is `{_FORMULAS[factor]}` "
        f"with lambda = {shown(strength)}. What is w after "
        f"{'two steps' if steps == 2 else 'one step'} "
        f"of SGD with learning rate {shown(rate)}?",
        conventions=(_ORDER, "no momentum"),
        expected=Number(float(right)),
        proved=_trained(weight, rate, decay, data, steps),
        way="torch.optim.SGD with weight_decay in float64",
        mistakes=mistaken(
            (after(rate, 0.0, data), "forgets the penalty"),
            (after(rate, -decay, data), "adds the penalty's gradient, so that the weight grows"),
            (after(rate, decay * (2 if factor == 0.5 else 0.5), data),
             "forgets the half of the formula" if factor == 0.5
             else "forgets the factor 2 of the derivative"),
            *([(after(rate, decay, 0.0), "forgets the data loss"),
               (after(rate, decay, -data), "steps up the data loss")] if level > 1 else []),
            *([(after(rate, decay, data, 1), "stops after one step"),
               (weight - 2 * (weight - after(rate, decay, data, 1)),
                "subtracts the first step twice, though the weight has shrunk")]
              if level == 3 else []),
            (after(1.0, decay, rate * data), "does not multiply the penalty by the learning rate"),
            (weight * rate * decay, "is the pull itself, not what is left of the weight"),
        ),
        solution=(
            f"the penalty has the gradient {'2 ' if factor == 1 else ''}lambda w",
            *(_written(after(rate, decay, data, number), rate, decay, data)
              for number in range(steps)),
            f"w = {shown(right)}",
        ),
    )  # fmt: skip


def _drawn(drawn: Random, level: int) -> tuple[float, float, float, float, float]:
    """Weight, learning rate, lambda, gradient of the data loss, and factor of the penalty."""
    data = 0.0 if level == 1 else quarters(drawn, -2, 2, 0.5)
    return (
        quarters(drawn, -4, 4, 0.5),
        drawn.choice((0.1, 0.2, 0.25, 0.5)),
        drawn.choice((0.1, 0.2, 0.4, 0.5)),
        data,
        drawn.choice((0.5, 1.0)),
    )


def _clear(
    level: int, weight: float, rate: float, strength: float, data: float, factor: float
) -> bool:
    """The data loss and the penalty do not cancel, and the weight does not come near 0."""
    first = weight - rate * (data + 2 * factor * strength * weight)
    pull = abs(data + 2 * factor * strength * weight)
    return abs(first) > 0.3 and pull > 0.1 and (level == 1 or abs(data) != abs(weight))


def _written(before: float, rate: float, decay: float, data: float) -> str:
    after = before - rate * (data + decay * before)
    pulled = f"{shown(decay)} x {_signed(before)}"
    both = f"({_signed(data)} + {pulled})" if data else pulled
    return f"{shown(before)} - {shown(rate)} x {both} = {shown(after)}"


def _signed(value: float) -> str:
    return shown(value) if value >= 0 else f"({shown(value)})"


def _trained(weight: float, rate: float, decay: float, data: float, steps: int) -> float:
    """The same by PyTorch's optimizer, whose weight_decay is what multiplies w."""
    parameter = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=rate, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(data * parameter)
        optimizer.step()
    return float(parameter.detach())
