"""Batch normalization by hand, proved by PyTorch's own layer; with dropout from its neighbour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import torch
from torch import nn

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families import (
    batchnorm_gradients,
    batchnorm_invariances,
    batchnorm_layers,
    dropped_paths,
    dropping,
)
from chainrule.study.practice.families.batchnorm_minibatch import (
    BIASED,
    EPSILON,
    Minibatch,
    easy,
    harder,
)
from chainrule.study.practice.families.drawing import (
    inner,
    mistaken,
    ordinal,
    quarters,
    row,
    shown,
    signed,
    until,
)
from chainrule.study.practice.question import Draft, Family

_TRAINED = "PyTorch's BatchNorm1d in training mode"
_EVALUATED = "PyTorch's BatchNorm1d in evaluation mode"
# minibatches of mean 0 whose standard deviation is whole


def _output(drawn: Random, level: int) -> Draft:
    place = 0

    def draw() -> Minibatch:
        return easy(drawn) if level == 1 else harder(drawn)

    def output(batch: Minibatch) -> float:
        return batch.gamma * batch.normalized(place) + batch.beta

    batch = until(draw, lambda one: min(abs(output(one)), abs(one.normalized(place))) > 0.2)
    right, x, mean = output(batch), batch.values[place], batch.mean
    with torch.no_grad():
        proved = float(batch.layer()(batch.inputs())[place])
    return Draft(
        text=f"A batchnorm layer in training mode gets a minibatch of {len(batch.values)} "
        f"examples; a feature has the values `{row(batch.values)}`. {batch.settings}. What does "
        f"the layer give for the {ordinal(place)} example?",
        conventions=(BIASED, EPSILON),
        expected=Number(right),
        proved=proved,
        way=_TRAINED,
        mistakes=mistaken(
            (batch.normalized(place), "forgets gamma and beta"),
            (batch.gamma * (x - mean) / math.sqrt(batch.unbiased + batch.epsilon) + batch.beta,
             "divides by the unbiased standard deviation"),
            (batch.gamma * (x - mean) / (batch.variance + batch.epsilon) + batch.beta,
             "divides by the variance instead of its root"),
            (batch.gamma * (x - mean) / (math.sqrt(batch.variance) + batch.epsilon) + batch.beta,
             "adds epsilon outside the root"),
            (batch.gamma * x / batch.root + batch.beta, "forgets to subtract the mean"),
            (batch.gamma * (batch.normalized(place) + batch.beta), "adds beta before gamma"),
        ),
        solution=(
            f"mean = {shown(mean)}, biased variance = {shown(batch.variance)}",
            f"normalized: ({shown(x)} - {inner(mean)}) / {shown(batch.root)} = "
            f"{shown(batch.normalized(place))}, where {shown(batch.root)} is the root of variance "
            "and epsilon",
            f"{shown(batch.gamma)} * {inner(batch.normalized(place))} {signed(batch.beta)} = "
            f"{shown(right)}",
        ),
        experiment="batchnorm-regularizes",
    )  # fmt: skip


@dataclass(frozen=True)
class _Kept:
    """A layer with its running averages, in evaluation mode."""

    x: float
    mean: float
    variance: float
    gamma: float
    beta: float

    def output(self) -> float:
        return self.gamma * (self.x - self.mean) / math.sqrt(self.variance) + self.beta

    def layer(self) -> nn.BatchNorm1d:
        layer = Minibatch((), self.gamma, self.beta, 0.0).layer().eval()
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.fill_(self.mean)
        layer.running_var.fill_(self.variance)
        return layer

    @property
    def told(self) -> str:
        return (
            f"running mean {shown(self.mean)}, running variance {shown(self.variance)}, gamma = "
            f"{shown(self.gamma)}, beta = {shown(self.beta)}, epsilon = 0"
        )


def _kept(drawn: Random) -> _Kept:
    def draw() -> _Kept:
        return _Kept(
            float(drawn.randint(-6, 9)), float(drawn.randint(-3, 4)),
            float(drawn.choice((4, 9, 16, 25))), drawn.choice((0.5, 2.0, 3.0)),
            quarters(drawn, -2, 2, 0.5),
        )  # fmt: skip

    return until(draw, lambda one: one.mean not in (0, one.x) and abs(one.output()) > 0.1)


def _evaluation(drawn: Random, level: int) -> Draft:
    return _in_evaluation(drawn) if level == 1 else _folded(drawn)


def _in_evaluation(drawn: Random) -> Draft:
    one = _kept(drawn)
    others = [float(drawn.randint(-6, 9)) for _ in range(3)]
    right, root = one.output(), math.sqrt(one.variance)
    with torch.no_grad():
        inputs = torch.tensor([one.x, *others], dtype=torch.float64)[:, None]
        proved = float(one.layer()(inputs)[0])
    batch = Minibatch((one.x, *others), one.gamma, one.beta, 1e-9)
    return Draft(
        text=f"A batchnorm layer in evaluation mode has for a feature: {one.told}. The minibatch "
        f"has the values `{row([one.x, *others])}`. What does it give for the first example?",
        conventions=("the running variance is used as it stands", EPSILON),
        expected=Number(right),
        proved=proved,
        way=_EVALUATED,
        mistakes=mistaken(
            (one.gamma * batch.normalized(0) + one.beta, "normalizes by the minibatch itself"),
            (one.gamma * (one.x - one.mean) / one.variance + one.beta,
             "divides by the variance instead of its root"),
            ((one.x - one.mean) / root, "forgets gamma and beta"),
            (one.gamma * one.x / root + one.beta, "forgets to subtract the running mean"),
            (one.gamma * ((one.x - one.mean) / root + one.beta), "adds beta before gamma"),
            (one.output() - one.beta, "forgets beta"),
            (one.x, "thinks that evaluation mode leaves the feature as it is"),
        ),
        solution=(
            "in evaluation mode the other examples do not matter",
            f"{shown(one.gamma)} * ({shown(one.x)} - {inner(one.mean)}) / sqrt("
            f"{shown(one.variance)}) {signed(one.beta)} = {shown(right)}",
        ),
        experiment="batchnorm-regularizes",
    )  # fmt: skip


def _folded(drawn: Random) -> Draft:
    """The layer before takes over what a batchnorm layer in evaluation mode does."""
    one, weight, bias = _kept(drawn), quarters(drawn, -3, 3, 0.5), quarters(drawn, -4, 4, 0.5)
    root = math.sqrt(one.variance)
    factor = one.gamma / root
    shift = factor * (bias - one.mean) + one.beta
    with torch.no_grad():  # an affine function is known by its values at 0 and 1
        at = one.layer()(torch.tensor([[bias], [weight + bias]], dtype=torch.float64)).flatten()
    return Draft(
        text=f"A unit computes `z = {shown(weight)} * x {signed(bias)}`; behind it stands a "
        f"batchnorm layer in evaluation mode with {one.told}. Both together are `w * x + b`. "
        "Give `[w, b]`.",
        conventions=("the running variance is used as it stands", EPSILON),
        expected=Vector((factor * weight, shift)),
        proved=(float(at[1] - at[0]), float(at[0])),
        way=f"{_EVALUATED} at x = 0 and x = 1",
        mistakes=mistaken(
            ([factor * weight, factor * bias + one.beta], "forgets the running mean"),
            ([factor * weight, bias - one.mean + one.beta], "does not scale the bias"),
            ([one.gamma / one.variance * weight, one.gamma / one.variance * (bias - one.mean)
              + one.beta], "divides by the variance instead of its root"),
            ([factor * weight, one.beta], "thinks that the bias is subtracted with the mean, "
             "which is so in training only"),
            ([weight / root, (bias - one.mean) / root], "forgets gamma and beta"),
        ),
        solution=(
            f"gamma / sqrt(variance) = {shown(one.gamma)} / {shown(root)} = {shown(factor)}",
            f"w = {shown(factor)} * {inner(weight)} = {shown(factor * weight)}",
            f"b = {shown(factor)} * ({shown(bias)} - {inner(one.mean)}) {signed(one.beta)} = "
            f"{shown(shift)}",
            f"[{shown(factor * weight)}, {shown(shift)}]",
        ),
    )  # fmt: skip


FAMILIES = (
    Family("batchnorm-output", "batchnorm", "output of batchnorm in training", (1, 2), _output),
    *batchnorm_gradients.FAMILIES,
    Family("batchnorm-evaluation", "batchnorm", "batchnorm in evaluation", (1, 2), _evaluation),
    *batchnorm_layers.FAMILIES,
    *batchnorm_invariances.FAMILIES,
    *dropping.FAMILIES,
    *dropped_paths.FAMILIES,
)  # fmt: skip
