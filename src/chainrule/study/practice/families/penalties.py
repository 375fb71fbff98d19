"""Penalties: values, gradients, the full loss, and what weight decay does in a step."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import torch

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families import full_losses, weight_decay
from chainrule.study.practice.families.drawing import mistaken, quarters, row, shown, until
from chainrule.study.practice.families.regularizers import (
    HALF_L2,
    L1,
    L2,
    STRENGTHS,
    Penalty,
    elastic,
    weights_of,
)
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

_TOPIC = "penalties"


def _drawn(drawn: Random, level: int) -> Penalty:
    """Level 1 is pure, level 2 has the half; level 3 is the elastic net."""
    if level == 3:
        return elastic(drawn)
    return drawn.choice((L2, L1) if level == 1 else (L2, HALF_L2, L1))


def _penalty_value(drawn: Random, level: int) -> Draft:
    """From level 2 on there is a bias that is not penalized."""
    kind, weights = _drawn(drawn, level), weights_of(drawn, level)
    strength, bias = drawn.choice(STRENGTHS), quarters(drawn, -3, 3, 0.5)
    value = kind.value(weights)
    right = strength * value
    array = np.array(weights)
    squares, amounts = float(array @ array), float(np.linalg.norm(array, 1))
    biased = "" if level == 1 else f" and the bias {shown(bias)}"
    return Draft(
        text=f"A layer has the weights w = {row(weights)}{biased}. How large is the regularization "
        f"loss lambda R(w) with lambda = {shown(strength)} and `{kind.text}`?",
        conventions=("|w| is the magnitude of w",
                     *(["biases are not penalized"] if level > 1 else [])),
        expected=Number(float(right)),
        proved=strength * (kind.squares * squares + kind.amounts * amounts),
        way="NumPy (dot product and norm)",
        mistakes=mistaken(
            (float(value), "forgets lambda"),
            *([(strength * kind.value([*weights, bias]), "penalizes the bias too")]
              if level > 1 else []),
            *([(2 * right, "forgets the half of the formula")] if kind is HALF_L2 else []),
            *([(right / 2, "has a half that this formula has not")] if kind is L2 else []),
            *([(strength * amounts, "counts the magnitudes alone"),
               (strength * squares / 2, "counts the squares alone")] if level == 3 else []),
            *([(strength * sum(weights), "adds the weights with their signs"),
               (strength * squares, "squares the weights, which is L2")] if kind is L1 else []),
            *([(strength * amounts, "adds magnitudes, which is L1"),
               (strength * kind.squares * squares**0.5, "takes the norm, not its square")]
              if not kind.amounts else []),
            (right / len(weights), "takes the mean over the weights"),
            (strength**2 * value, "squares lambda"),
        ),
        solution=(
            *([f"sum of |w_i| = {' + '.join(shown(abs(w)) for w in weights)} = {shown(amounts)}"]
              if kind.amounts else []),
            *([f"sum of w_i^2 = {' + '.join(shown(w * w) for w in weights)} = {shown(squares)}"]
              if kind.squares else []),
            f"R(w) = {shown(value)}",
            f"lambda R(w) = {shown(strength)} x {shown(value)} = {shown(right)}",
        ),
    )  # fmt: skip


def _penalty_gradient(drawn: Random, level: int) -> Draft:
    """Level 3 adds the gradient of the data loss."""
    kind, weights = _drawn(drawn, level), weights_of(drawn, level)
    strength = drawn.choice(STRENGTHS)
    data = [quarters(drawn, -2, 2, 0.5) for _ in weights] if level == 3 else [0.0] * len(weights)
    part = [strength * value for value in kind.gradient(weights)]
    right = [a + b for a, b in zip(data, part, strict=True)]
    plain = [strength * (1 if w > 0 else -1) for w in weights]
    asked = (
        "What is the gradient of the regularization loss lambda R(w) with respect to w?"
        if level < 3
        else f"The data loss has the gradient {row(data)} there. What is the gradient of the full "
        "loss, data loss + lambda R(w), with respect to w?"
    )
    return Draft(
        text=f"w = {row(weights)}, lambda = {shown(strength)} and `{kind.text}`. {asked}",
        conventions=("one number per weight, in order",),
        expected=Vector(tuple(right)),
        proved=_by_autograd(kind, weights, strength, data),
        way="autograd in float64",
        mistakes=mistaken(
            *([(part, "forgets the data loss"), (data, "forgets the penalty"),
               ([a - b for a, b in zip(data, part, strict=True)], "subtracts the penalty"),
               ([a + b for a, b in zip(data, plain, strict=True)], "counts |w| alone")]
              if level == 3 else []),
            *([([strength * w for w in weights], "forgets the factor 2 of the derivative")]
              if kind is L2 else []),
            *([([2 * strength * w for w in weights], "forgets the half of the formula")]
              if kind is HALF_L2 else []),
            *([(plain, "gives every weight the same pull, which is L1")] if level < 3 else []),
            *([([strength * w for w in weights], "pulls in proportion to the weight, which is L2"),
               ([strength] * len(weights), "forgets the signs")] if kind is L1 else []),
            ([a + b / strength for a, b in zip(data, part, strict=True)], "forgets lambda"),
            ([-value for value in right], "has the wrong sign: the gradient points uphill"),
            *([([strength * kind.value([w]) for w in weights],
                "has the terms of the penalty, not their derivatives")] if level < 3 else []),
        ),
        solution=(
            *(["d w_i^2 / dw_i = 2 w_i"] if kind.squares else []),
            *(["d |w_i| / dw_i = sign(w_i), 1 or -1"] if kind.amounts else []),
            f"dR/dw = {row(kind.gradient(weights))}",
            f"times lambda: {row(part)}",
            *([f"plus the gradient of the data loss: {row(right)}"] if level == 3 else []),
        ),
    )  # fmt: skip


def _by_autograd(
    kind: Penalty, weights: Sequence[float], strength: float, data: Sequence[float]
) -> list[float]:
    """The gradient of a loss that is linear in w but for its penalty."""
    w = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    penalized = kind.squares * (w**2).sum() + kind.amounts * w.abs().sum()
    loss = torch.tensor(data, dtype=torch.float64) @ w + strength * penalized
    (gradient,) = torch.autograd.grad(loss, w)
    found: list[float] = gradient.tolist()
    return found


def _preferred(drawn: Random, level: int) -> Draft:
    """Level 1: equal inputs and L2; level 2: unequal ones; level 3: several penalties in turn."""
    kind = HALF_L2 if level == 1 else drawn.choice((HALF_L2, L1)) if level == 2 else elastic(drawn)
    inputs, score, vectors = until(
        lambda: _candidates(drawn, level), lambda found: _clear(kind, found[2])
    )
    values = [kind.value(vector) for vector in vectors]
    least = min(values)
    best = vectors[values.index(least)]
    found = [_norms(kind, vector) for vector in vectors]
    return Draft(
        text=f"For the input x = {row(inputs)} these weights all give the score {shown(score)}. "
        f"Which does the penalty `{kind.text}` prefer?",
        conventions=("the one with the least full loss; the data loss is the same for all",),
        options=tuple(
            Option(
                f"w = {row(vector)}",
                vector is best,
                f"{row(vector)} has R = {shown(value)}, "
                + ("the least." if vector is best else f"more than {shown(least)} of {row(best)}."),
            )
            for vector, value in zip(vectors, values, strict=True)
        ),
        proved=tuple(value == min(found) for value in found),
        way="the norms that NumPy computes",
        solution=(
            *(f"w = {row(vector)}: w . x = {shown(score)}, R(w) = {shown(value)}"
              for vector, value in zip(vectors, values, strict=True)),
            f"the least is that of {row(best)}: "
            + ("L2 charges large weights most" if kind is HALF_L2 else
               "L1 charges every magnitude alike, so that it likes weights at the largest inputs"
               if kind is L1 else "a mixture of L1 and L2"),
        ),
    )  # fmt: skip


def _norms(kind: Penalty, vector: Sequence[float]) -> float:
    """R from NumPy's norms, to twelve digits, so that rounding makes no difference."""
    array = np.array(vector)
    squares, amounts = float(np.linalg.norm(array)) ** 2, float(np.linalg.norm(array, 1))
    return round(kind.squares * squares + kind.amounts * amounts, 12)


def _candidates(drawn: Random, level: int) -> tuple[list[float], float, list[list[float]]]:
    """An input, a score, and four vectors of weights that give it."""
    size = 4 if level == 1 else 3
    inputs = [drawn.choice((0.5, 1.0, 2.0, -1.0, -2.0))] * size
    if level > 1:
        inputs = [float(drawn.choice((-2, -1, 1, 2, 4))) for _ in range(size)]
    score = float(drawn.choice((2, 3, 4, 5, 6, 8)))
    if level == 1:
        shares: list[list[float]] = [
            [1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25],
                  [0.75, 0.25, 0, 0], [0.5, 0.25, 0.25, 0]]  # fmt: skip
        chosen = drawn.sample(shares, 4)
        return inputs, score, [_placed(drawn, part, inputs, score) for part in chosen]
    found: list[list[float]] = []
    while len(found) < 4:
        free = [drawn.randint(-4, 8) * 0.25 for _ in range(size - 1)]
        rest = score - sum(w * x for w, x in zip(free, inputs, strict=False))
        vector = [*free, rest / inputs[-1]]
        if vector not in found and max(map(abs, vector)) <= 8 and vector[-1] % 0.25 == 0:
            found.append(vector)
    return inputs, score, found


def _placed(
    drawn: Random, shares: Sequence[float], inputs: Sequence[float], score: float
) -> list[float]:
    """Weights that contribute these shares of the score, in an order of their own."""
    mixed = drawn.sample(list(shares), len(shares))
    return [share * score / x for share, x in zip(mixed, inputs, strict=True)]


def _clear(kind: Penalty, vectors: Sequence[Sequence[float]]) -> bool:
    """One has clearly the least penalty."""
    first, second, *_ = sorted(kind.value(vector) for vector in vectors)
    return second > 1.05 * first


FAMILIES = (
    Family("penalty-value", _TOPIC, "value of a penalty", LEVELS, _penalty_value),
    Family("penalty-gradient", _TOPIC, "gradient of a penalty", LEVELS, _penalty_gradient),
    Family("full-loss", _TOPIC, "data loss and regularization loss", LEVELS,
           full_losses.full_loss_of),
    Family("preferred-weights", _TOPIC, "which weights a penalty prefers", LEVELS, _preferred),
    Family("weight-decay-step", _TOPIC, "a step with weight decay", LEVELS, weight_decay.step),
)  # fmt: skip
