"""What batch normalization does not see, by theory and by running the layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from chainrule.study.practice.families.drawing import (
    plural,
    shown,
)
from chainrule.study.practice.question import Draft, Family, Option


@dataclass(frozen=True)
class _Change:
    """Something done to a network linear -> batchnorm, and whether theory says it shows."""

    text: str
    applied: Callable[[nn.Linear, nn.BatchNorm1d, Tensor, float], Tensor]
    seen: Callable[[bool], bool]
    reason: str


def _scale_weights(linear: nn.Linear, _: nn.BatchNorm1d, x: Tensor, size: float) -> Tensor:
    linear.weight.mul_(size)
    linear.bias.mul_(size)
    return x


def _shift_bias(linear: nn.Linear, _: nn.BatchNorm1d, x: Tensor, size: float) -> Tensor:
    linear.bias.add_(size)
    return x


def _shift_inputs(_: nn.Linear, __: nn.BatchNorm1d, x: Tensor, size: float) -> Tensor:
    return x + size


def _scale_gamma(_: nn.Linear, norm: nn.BatchNorm1d, x: Tensor, size: float) -> Tensor:
    norm.weight.mul_(size)
    return x


def _change_others(_: nn.Linear, __: nn.BatchNorm1d, x: Tensor, size: float) -> Tensor:
    return torch.cat([x[:1], size * x[1:]])


def _flip_weights(linear: nn.Linear, _: nn.BatchNorm1d, x: Tensor, __: float) -> Tensor:
    linear.weight.neg_()
    return x


_CHANGES = (
    _Change("multiply weights and biases of the linear layer by {size}", _scale_weights,
            lambda training: not training, "the standard deviation grows by the same factor"),
    _Change("add {size} to every bias of the linear layer", _shift_bias,
            lambda training: not training, "the mean moves as well and is subtracted"),
    _Change("add {size} to all inputs of all examples", _shift_inputs,
            lambda training: not training, "each unit moves by the same for every example"),
    _Change("multiply gamma by {size}", _scale_gamma, lambda _: True,
            "gamma stands behind the normalization"),
    _Change("multiply all examples but the first by {size}", _change_others,
            lambda training: training, "mean and variance are those of the whole minibatch"),
    _Change("change the sign of all weights of the linear layer", _flip_weights, lambda _: True,
            "normalization keeps the sign"),
)  # fmt: skip


def _invariances(drawn: Random, level: int) -> Draft:
    training = level == 2 or drawn.random() < 0.5
    size, units = float(drawn.choice((2, 3, 5, 10))), drawn.randint(3, 8)
    batch = drawn.choice((8, 16, 32))
    changes = drawn.sample(_CHANGES, 4 if level == 2 else 5)
    moves = [_moved(change, training, size, units, batch) for change in changes]
    options = tuple(
        Option(
            change.text.format(size=shown(size)),
            change.seen(training),
            f"The output of the first example moves by up to {move:.2g}"
            + (f": {change.reason}." if training else "."),
        )
        for change, move in zip(changes, moves, strict=True)
    )
    mode = "training" if training else "evaluation"
    return Draft(
        text=f"A linear layer with {plural(units, 'unit')} is followed by batchnorm in {mode} "
        f"mode. Which of these change what batchnorm gives for the first of {batch} examples? "
        "(Select all.)",
        conventions=("epsilon is too small to matter",
                     "in evaluation mode the running averages stay as they are"),
        options=options,
        several=True,
        proved=tuple(move > 1e-3 for move in moves),
        way="running the layers with and without the change",
        solution=tuple(f"{option.text}: {option.why}" for option in options),
        experiment="batchnorm-regularizes",
    )  # fmt: skip


@torch.no_grad()
def _moved(change: _Change, training: bool, size: float, units: int, batch: int) -> float:
    """By how much the output of the first example moves."""
    torch.manual_seed(0)
    linear, norm = nn.Linear(5, units).double(), nn.BatchNorm1d(units, eps=1e-12).double()
    inputs = torch.randn(batch, 5, dtype=torch.float64)
    norm.train(training)
    before = norm(linear(inputs))[0]
    changed = change.applied(linear, norm, inputs, size)
    return float((norm(linear(changed))[0] - before).abs().max())


FAMILIES = (
    Family("batchnorm-invariances", "batchnorm", "what batchnorm does not see", (2, 3),
           _invariances),
)  # fmt: skip
