"""Full losses: the data loss and the regularization loss together."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from torch.nn import functional

from chainrule.nn.losses import svm_loss
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, quarters, row, shown, until
from chainrule.study.practice.families.regularizers import (
    HALF_L2,
    L1,
    L2,
    STRENGTHS,
    Penalty,
    weights_of,
)
from chainrule.study.practice.question import Draft

_FULL = "full loss = data loss + lambda R(w)"


def full_loss_of(drawn: Random, level: int) -> Draft:
    """Level 1 is given a data loss, level 2 one per example; level 3 computes it from scores."""
    if level == 3:
        return _from_scores(drawn)
    kind, strength = drawn.choice((L2, HALF_L2, L1)), drawn.choice(STRENGTHS)
    losses, weights = until(
        lambda: ([drawn.randint(1, 12) * 0.25 for _ in range(1 if level == 1 else 4)],
                 weights_of(drawn, level)),
        lambda found: _heavy(kind, strength, *found),
    )  # fmt: skip
    count, value = len(losses), kind.value(weights)
    data, part = sum(losses) / count, strength * value
    told = f"The data loss is {shown(data)}" if level == 1 else (
        f"The {count} examples of a minibatch have the data losses {row(losses)}"
    )  # fmt: skip
    return Draft(
        text=f"{told}, the weights are w = {row(weights)}, lambda = {shown(strength)} and "
        f"`{kind.text}`. How large is the full loss?",
        conventions=(_FULL, *(["the data loss is the mean over the minibatch"]
                              if count > 1 else [])),
        expected=Number(float(data + part)),
        proved=_by_numpy(losses, weights, strength, kind),
        way="NumPy (mean and norms)",
        mistakes=mistaken(
            *([(sum(losses) + part, "sums over the minibatch where the mean is wanted"),
               (data + part / count, "divides the penalty by the minibatch too")]
              if count > 1 else []),
            (data + value, "forgets lambda"),
            (data, "forgets the penalty"),
            (strength * (data + value), "multiplies the data loss by lambda too"),
            (data - part, "subtracts the penalty"),
            (data + 2 * part, "counts the penalty twice"),
        ),
        solution=(
            *([f"mean data loss: {shown(sum(losses))} / {count} = {shown(data)}"]
              if count > 1 else []),
            f"R(w) = {shown(value)}",
            f"{shown(data)} + {shown(strength)} x {shown(value)} = {shown(data + part)}",
        ),
    )  # fmt: skip


def _heavy(kind: Penalty, strength: float, losses: list[float], weights: list[float]) -> bool:
    """Data loss and penalty are comparable, so that each shows in the sum."""
    data, part = sum(losses) / len(losses), strength * kind.value(weights)
    return data / 20 < part < 20 * data


def _by_numpy(losses: list[float], weights: list[float], strength: float, kind: Penalty) -> float:
    array = np.array(weights)
    norms = kind.squares * np.sum(array**2) + kind.amounts * np.linalg.norm(array, 1)
    return float(np.mean(losses) + strength * norms)


def _from_scores(drawn: Random) -> Draft:
    inputs, rows, target, strength = until(lambda: _classifier(drawn), _telling)
    kind = drawn.choice((L2, HALF_L2))
    scores = [sum(w * x for w, x in zip(one, inputs, strict=True)) for one in rows]
    weights = [weight for one in rows for weight in one]
    value = kind.value(weights)
    margins = [score - scores[target] + 1 for score in scores]
    hinges = [max(0.0, m) for index, m in enumerate(margins) if index != target]
    told = torch.tensor([scores], dtype=torch.float64)
    data = float(svm_loss(told, torch.tensor([target])))
    right = data + strength * value
    proved = _by_pytorch(inputs, rows, target, strength * kind.squares)
    return Draft(
        text=f"A linear classifier has the scores W x with the rows {row(rows[0])}, {row(rows[1])}"
        f" and {row(rows[2])} of W. The one example x = {row(inputs)} belongs to class {target} "
        f"(classes 0, 1, 2). With the SVM loss (margin 1), lambda = {shown(strength)} and "
        f"`{kind.text.replace('(w)', '(W)').replace('w_i', 'w_ij')}`: how large is the full loss?",
        conventions=(_FULL.replace("(w)", "(W)"),
                     "SVM loss: sum over the wrong classes of max(0, s_j - s_y + 1)"),
        expected=Number(float(right)),
        proved=proved,
        way="PyTorch's multi_margin_loss, times 3 classes, and the norm of W",
        mistakes=mistaken(
            (data, "forgets the penalty"),
            (data + value, "forgets lambda"),
            (strength * value, "forgets the data loss"),
            (right + 1, "lets the right class count: it adds its margin of 1"),
            (sum(margins) - 1 + strength * value, "forgets the max with 0"),
            (sum(max(0.0, m - 1) for m in margins) + strength * value, "forgets the margin"),
            (data / 3 + strength * value, "divides the SVM loss by the classes"),
            (data + strength * value * (2 if kind is HALF_L2 else 0.5),
             "forgets the half of the formula" if kind is HALF_L2
             else "has a half that this formula has not"),
        ),
        solution=(
            f"scores W x = {row(scores)}",
            f"SVM loss: {' + '.join(map(shown, hinges))} = {shown(data)}",
            f"R(W) = {shown(value)}",
            f"{shown(data)} + {shown(strength)} x {shown(value)} = {shown(right)}",
        ),
        experiment="svm-and-softmax",
    )  # fmt: skip


def _classifier(drawn: Random) -> tuple[list[float], list[list[float]], int, float]:
    """Input, rows of W, right class and lambda."""
    inputs = [quarters(drawn, -3, 3, 1.0) for _ in range(2)]
    rows = [[quarters(drawn, -2, 2, 0.5) for _ in range(2)] for _ in range(3)]
    return inputs, rows, drawn.randrange(3), drawn.choice((0.1, 0.2, 0.5))


def _telling(found: tuple[list[float], list[list[float]], int, float]) -> bool:
    """One wrong class is within the margin, the other is not; no score lies on it."""
    inputs, rows, target, _ = found
    scores = [sum(w * x for w, x in zip(one, inputs, strict=True)) for one in rows]
    margins = [score - scores[target] + 1 for i, score in enumerate(scores) if i != target]
    return min(margins) < 0 < max(margins) <= 6


def _by_pytorch(
    inputs: list[float], rows: list[list[float]], target: int, strength: float
) -> float:
    matrix, vector = (torch.tensor(item, dtype=torch.float64) for item in (rows, inputs))
    scores = (matrix @ vector)[None]
    data = 3 * functional.multi_margin_loss(scores, torch.tensor([target]))
    return float(data + strength * torch.linalg.matrix_norm(matrix) ** 2)
