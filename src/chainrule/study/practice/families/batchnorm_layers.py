"""What a batchnorm layer keeps, has and does not see: running averages, parameters, invariances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import torch
from torch import nn

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import (
    inner,
    mistaken,
    row,
    shown,
    signed,
    until,
)
from chainrule.study.practice.question import LEVELS, Draft, Family

_MOMENTUM = "PyTorch's momentum of 0.1 (the share of the new value) and its unbiased variance"
_EPSILON = 1e-5
_UPDATED = "running PyTorch's BatchNorm1d"


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def _unbiased(values: tuple[float, ...]) -> float:
    return sum((x - _mean(values)) ** 2 for x in values) / (len(values) - 1)


def _values(drawn: Random) -> tuple[float, ...]:
    """Values whose mean and variance are not 0, nor 1 by chance."""
    return until(
        lambda: tuple(float(drawn.randint(-6, 12)) for _ in range(drawn.choice((2, 3, 4)))),
        lambda found: abs(_mean(found)) > 0.5 and _unbiased(found) > 2,
    )


def _updated(
    mean: float, variance: float, batches: Sequence[tuple[float, ...]]
) -> tuple[float, float]:
    """What the real layer keeps after these minibatches."""
    layer = nn.BatchNorm1d(1).double().train()
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.fill_(mean)
    layer.running_var.fill_(variance)
    with torch.no_grad():
        for values in batches:
            layer(torch.tensor(values, dtype=torch.float64)[:, None])
    return float(layer.running_mean), float(layer.running_var)


def _running(drawn: Random, level: int) -> Draft:
    return (_running_mean, _running_variance, _twice)[level - 1](drawn)


def _running_mean(drawn: Random) -> Draft:
    old = float(drawn.choice((-4, -2, 2, 3, 5, 8)))
    values = until(lambda: _values(drawn), lambda found: abs(_mean(found) - old) > 1)
    mean = _mean(values)
    right = 0.9 * old + 0.1 * mean
    return Draft(
        text=f"A batchnorm layer in training mode has the running mean {shown(old)} for a feature "
        f"and gets the minibatch `{row(values)}`. What is the running mean afterwards?",
        conventions=(_MOMENTUM,),
        expected=Number(right),
        proved=_updated(old, 1.0, [values])[0],
        way=_UPDATED,
        mistakes=mistaken(
            (0.1 * old + 0.9 * mean, "takes momentum for the share of the old value"),
            (mean, "takes the mean of the minibatch alone"),
            (old + 0.1 * mean, "adds without shrinking the old value"),
            ((old + mean) / 2, "takes both by halves"),
            (old, "thinks that running averages move in evaluation only"),
        ),
        solution=(
            f"mean of the minibatch: {shown(mean)}",
            f"0.9 * {inner(old)} + 0.1 * {inner(mean)} = {shown(right)}",
        ),
    )  # fmt: skip


def _running_variance(drawn: Random) -> Draft:
    old, values = float(drawn.choice((1, 2, 4, 5))), _values(drawn)
    new, count = _unbiased(values), len(values)
    biased = new * (count - 1) / count
    right = 0.9 * old + 0.1 * new
    return Draft(
        text=f"A batchnorm layer in training mode has the running variance {shown(old)} for a "
        f"feature and gets the minibatch `{row(values)}`. What is the running variance afterwards?",
        conventions=(_MOMENTUM,),
        expected=Number(right),
        proved=_updated(0.0, old, [values])[1],
        way=_UPDATED,
        mistakes=mistaken(
            (0.9 * old + 0.1 * biased, "takes the biased variance, which the output is made with"),
            (0.1 * old + 0.9 * new, "takes momentum for the share of the old value"),
            (new, "takes the variance of the minibatch alone"),
            (0.9 * old + 0.1 * new**0.5, "averages the standard deviation"),
            (0.9 * old + 0.1 * sum(x * x for x in values) / (count - 1), "forgets the mean"),
        ),
        solution=(
            f"mean {shown(_mean(values))}, unbiased variance {shown(new)}",
            f"0.9 * {shown(old)} + 0.1 * {shown(new)} = {shown(right)}",
        ),
    )  # fmt: skip


def _twice(drawn: Random) -> Draft:
    """How far running averages still are from the truth after some steps."""
    steps, value = drawn.randint(3, 12), float(drawn.choice((2, 4, 5, 8, 10, 20)))
    spread = float(drawn.randint(1, 3))
    right = value * (1 - 0.9**steps)
    batches = [(value - spread, value + spread)] * steps
    return Draft(
        text=f"A new batchnorm layer gets {steps} minibatches in training mode; in each of them "
        f"the mean of a feature is {shown(value)}. What is its running mean then?",
        conventions=(_MOMENTUM, "the running mean starts at 0"),
        expected=Number(right),
        proved=_updated(0.0, 1.0, batches)[0],
        way=_UPDATED,
        mistakes=mistaken(
            (value, "thinks that it is there at once"),
            (value * 0.9**steps, "takes what is still missing for what is there"),
            (value * (1 - 0.1**steps), "takes momentum for the share of the old value"),
            (value * min(1.0, 0.1 * steps), "adds a tenth each time without shrinking the rest"),
        ),
        solution=(
            "each step leaves 0.9 of the distance to the mean",
            f"{shown(value)} * (1 - 0.9^{steps}) = {shown(right)}",
        ),
    )  # fmt: skip


def _parameters(drawn: Random, level: int) -> Draft:
    channels, side = drawn.choice((3, 8, 16, 20, 32, 64, 128)), drawn.choice((7, 8, 14, 16, 28))
    batch = drawn.choice((16, 32, 64))
    place = f"behind a convolution, on a volume of {side}x{side}x{channels}"
    if level == 2:
        return _averaged(batch, side, channels)
    return Draft(
        text=f"How many parameters are learned by a batchnorm layer {place} (height x width x "
        f"channels), with minibatches of {batch}?",
        conventions=("running averages are kept, not learned: they are not counted",),
        expected=Number(2 * channels, "parameters"),
        proved=sum(p.numel() for p in nn.BatchNorm2d(channels).parameters()),
        way="counting the parameters of PyTorch's BatchNorm2d",
        mistakes=mistaken(
            (4 * channels, "counts the running averages too"),
            (2 * channels * side**2, "has a gamma and beta of its own for each place"),
            (channels, "forgets beta"),
            (2, "has one gamma and one beta for all channels"),
            (2 * channels * batch, "has parameters for each example"),
        ),
        solution=("a gamma and a beta for each channel", f"2 * {channels} = {2 * channels}"),
    )  # fmt: skip


def _averaged(batch: int, side: int, channels: int) -> Draft:
    right = batch * side**2
    return Draft(
        text=f"A batchnorm layer behind a convolution gets a minibatch of {batch} volumes of "
        f"{side}x{side}x{channels} (height x width x channels). Over how many values is each of "
        "its means taken?",
        conventions=("training mode",),
        expected=Number(right, "values"),
        proved=_share_of_one_value(batch, side, channels),
        way="moving one input value by 1 and looking how far its channel's mean moves",
        mistakes=mistaken(
            (batch, "keeps a mean for each place of the image"),
            (right * channels, "takes all channels together"),
            (side**2, "takes each example alone, as instance normalization does"),
            (side**2 * channels, "takes each example alone, as layer normalization does"),
        ),
        solution=(
            "one mean for each channel, over all examples and places",
            f"{batch} * {side} * {side} = {right:,}",
        ),
    )  # fmt: skip


def _share_of_one_value(batch: int, side: int, channels: int) -> int:
    """One over the weight of a single value in the mean that the real layer takes."""
    layer = nn.BatchNorm2d(channels, momentum=1.0).double()
    inputs = torch.zeros(batch, channels, side, side, dtype=torch.float64)
    inputs[0, 0, 0, 0] = 1
    layer(inputs)
    assert layer.running_mean is not None
    return round(1 / float(layer.running_mean[0]))


def _constant(drawn: Random, level: int) -> Draft:
    """A feature that is the same for all examples, or nearly."""
    if level == 2:
        return _nearly_constant(drawn)
    value = float(drawn.choice((-4, -3, 3, 4, 5, 6)))
    gamma, beta = drawn.choice((2.0, 3.0, 0.5)), drawn.choice((-1.5, -0.5, 0.25, 0.5, 1.5))
    count = drawn.choice((4, 8, 16))
    layer = nn.BatchNorm1d(1).double()
    nn.init.constant_(layer.weight, gamma)
    nn.init.constant_(layer.bias, beta)
    with torch.no_grad():
        proved = float(layer(torch.full((count, 1), value, dtype=torch.float64))[0])
    return Draft(
        text=f"A feature has the value {shown(value)} for all {count} examples of a minibatch. "
        f"What does a batchnorm layer in training mode give for it, with gamma = {shown(gamma)}, "
        f"beta = {shown(beta)}?",
        conventions=("epsilon = 0.00001, added to the variance inside the root",),
        expected=Number(beta),
        proved=proved,
        way="PyTorch's BatchNorm1d in training mode",
        mistakes=mistaken(
            (0.0, "forgets beta"),
            (gamma * value + beta, "forgets that the mean is subtracted"),
            (gamma + beta, "thinks that a constant is normalized to 1"),
            (value, "thinks that a constant passes unchanged"),
        ),
        solution=(
            f"mean {shown(value)}, variance 0: normalized 0 / sqrt(epsilon) = 0",
            f"{shown(gamma)} * 0 + {shown(beta)} = {shown(beta)}: the feature carries nothing on",
        ),
    )  # fmt: skip


def _nearly_constant(drawn: Random) -> Draft:
    """The variance is as small as epsilon, which then limits what comes out."""
    value, off = float(drawn.choice((2, 3, 4, 5))), drawn.choice((0.002, 0.003, 0.004, 0.005))
    gamma, beta = drawn.choice((1.0, 2.0, 3.0)), drawn.choice((-0.5, 0.5, 1.0))
    values = [value + off, value - off, value + off, value - off]
    right = gamma * off / math.sqrt(off**2 + _EPSILON) + beta
    layer = nn.BatchNorm1d(1, eps=_EPSILON).double()
    nn.init.constant_(layer.weight, gamma)
    nn.init.constant_(layer.bias, beta)
    with torch.no_grad():
        proved = float(layer(torch.tensor(values, dtype=torch.float64)[:, None])[0])
    squared = off**2 / 1e-6
    return Draft(
        text=f"A feature has the nearly equal values `{row(values)}` in a minibatch. What does a "
        f"batchnorm layer in training mode give for the first example, with gamma = "
        f"{shown(gamma)}, beta = {shown(beta)} and epsilon = 0.00001?",
        conventions=("biased variance", "epsilon is added to the variance, inside the root"),
        expected=Number(right),
        proved=proved,
        way="PyTorch's BatchNorm1d in training mode",
        mistakes=mistaken(
            (gamma + beta, "forgets epsilon"),
            (beta, "takes the feature for constant"),
            (gamma * off / (off + _EPSILON) + beta, "adds epsilon outside the root"),
            (off / math.sqrt(off**2 + _EPSILON), "forgets gamma and beta"),
            (gamma * off / math.sqrt(_EPSILON) + beta, "forgets the variance beside epsilon"),
        ),
        solution=(
            f"mean {shown(value)}, variance {shown(off)}^2 = {shown(squared)}e-6, epsilon 10e-6",
            f"{shown(off)} / sqrt({shown(squared + 10)}e-6) = "
            f"{shown(off / math.sqrt(off**2 + _EPSILON))} instead of 1",
            f"times {shown(gamma)} {signed(beta)} = {shown(right)}",
        ),
    )  # fmt: skip


FAMILIES = (
    Family("batchnorm-running-averages", "batchnorm", "running averages of batchnorm", LEVELS,
           _running),
    Family("batchnorm-parameters", "batchnorm", "parameters and means of batchnorm", (1, 2),
           _parameters),
    Family("batchnorm-constant", "batchnorm", "batchnorm of a constant feature", (1, 2), _constant),
)  # fmt: skip
