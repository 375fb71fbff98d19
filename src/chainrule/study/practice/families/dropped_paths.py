"""Dropconnect and stochastic depth by hand, proved by the layers and by all choices."""

from __future__ import annotations

import itertools
import math
from random import Random

import torch

from chainrule.nn.dropconnect import DropConnectLinear
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import (
    mistaken,
    quarters,
    row,
    shown,
    signed,
    until,
)
from chainrule.study.practice.families.masks import (
    CHANCE,
    average,
    dot,
    weights_of,
)
from chainrule.study.practice.question import LEVELS, Draft, Family

_ALL_CHOICES = "averaging over all choices of skipped blocks with their probabilities"


def _depth(drawn: Random, level: int) -> Draft:
    return (_active_blocks, _decaying, _residual)[level - 1](drawn)


def _active_blocks(drawn: Random) -> Draft:
    blocks, drop = drawn.randint(4, 10), drawn.choice((0.1, 0.2, 0.25, 0.4, 0.3))
    right = blocks * (1 - drop)
    return Draft(
        text=f"A network of {blocks} residual blocks skips each of them in training with "
        f"probability {shown(drop)} (stochastic depth). How many blocks are active on average?",
        conventions=("blocks are skipped independently",),
        expected=Number(right),
        proved=average(blocks, drop, sum),
        way=_ALL_CHOICES,
        mistakes=mistaken(
            (blocks * drop, "counts the skipped ones"),
            (float(blocks), "forgets that blocks are skipped"),
            (blocks / (1 - drop), "divides by 1 - p instead of multiplying"),
            (blocks * (1 - drop) ** 2, "takes 1 - p twice"),
            (float(blocks - 1), "thinks that exactly one block is skipped each time"),
        ),
        solution=(f"{blocks} * (1 - {shown(drop)}) = {shown(right)}",),
    )  # fmt: skip


def _decaying(drawn: Random) -> Draft:
    blocks, last = drawn.randint(3, 9), drawn.choice((0.6, 0.5, 0.4, 0.3, 0.2))
    right = blocks - last * (blocks + 1) / 2
    chances = [last * (place + 1) / blocks for place in range(blocks)]
    return Draft(
        text=f"Stochastic depth over {blocks} residual blocks: block l (from 1 to {blocks}) is "
        f"skipped with probability `l/{blocks} * {shown(last)}`. How many blocks are active on "
        "average?",
        conventions=("blocks are skipped independently",),
        expected=Number(right),
        proved=_expected_active(chances),
        way=_ALL_CHOICES,
        mistakes=mistaken(
            (blocks * (1 - last), "skips every block as often as the last"),
            (blocks * (1 - last / 2), "starts the line at 0 for the first block"),
            (last * (blocks + 1) / 2, "counts the skipped ones"),
            (blocks - last, "skips the last block only"),
        ),
        solution=(
            f"skipped on average: {shown(last)} / {blocks} * (1 + ... + {blocks}) = "
            f"{shown(last * (blocks + 1) / 2)}",
            f"active: {blocks} - {shown(last * (blocks + 1) / 2)} = {shown(right)}",
        ),
    )  # fmt: skip


def _expected_active(chances: list[float]) -> float:
    total = 0.0
    for active in itertools.product((0, 1), repeat=len(chances)):
        weights = [1 - p if on else p for on, p in zip(active, chances, strict=True)]
        total += sum(active) * math.prod(weights)
    return total


def _residual(drawn: Random) -> Draft:
    """Expected output of scalar residual blocks, which are linear."""
    x, drop = float(drawn.choice((1, 2, 4))), drawn.choice((0.2, 0.25, 0.5))
    weights = [drawn.choice((0.5, 1.0, 1.5, 2.0)) for _ in range(3)]
    right = x * math.prod(1 + (1 - drop) * w for w in weights)

    def output(mask: tuple[int, ...]) -> float:
        value = x
        for w, active in zip(weights, mask, strict=True):
            value = value + active * w * value
        return value

    return Draft(
        text=f"Three residual blocks `x <- x + w * x` with w = `{row(weights)}` follow each other. "
        f"In training each is skipped (x stays) with probability {shown(drop)}; active blocks are "
        f"not scaled. What is the expected output for x = {shown(x)}?",
        conventions=("blocks are skipped independently",
                     "as Huang et al. have it: scaled in evaluation, not in training"),
        expected=Number(right),
        proved=average(3, drop, output),
        way=_ALL_CHOICES,
        mistakes=mistaken(
            (x * math.prod(1 + w for w in weights), "forgets that blocks are skipped"),
            (x * math.prod((1 - drop) * (1 + w) for w in weights), "skips the shortcut as well"),
            (x * (1 - drop) ** 3 * math.prod(weights), "forgets the shortcuts"),
            (x * (1 + (1 - drop) * sum(weights)), "adds the branches beside each other"),
            (x * math.prod(1 + drop * w for w in weights), "takes the probability to skip for that "
             "to stay"),
        ),
        solution=(
            f"a block multiplies by 1 + {shown(1 - drop)} * w on average",
            " * ".join(f"(1 + {shown(1 - drop)} * {shown(w)})" for w in weights)
            + f" * {shown(x)} = {shown(right)}",
        ),
    )  # fmt: skip


def _dropconnect(drawn: Random, level: int) -> Draft:
    if level == 1:
        return _entries(drawn)
    drop, weights = drawn.choice((0.25, 0.5, 0.75)), weights_of(drawn, 4)
    values, bias = [float(drawn.randint(1, 5)) for _ in range(4)], quarters(drawn, -2, 2, 0.5)
    mask, proved = until(
        lambda: _connected(drop, weights, bias, values),
        lambda found: (
            abs(dot(weights, [x * m for x, m in zip(values, found[0], strict=True)])) > 0.5
        ),
    )
    kept = dot(weights, [x * m for x, m in zip(values, mask, strict=True)])
    right = kept / (1 - drop) + bias
    return Draft(
        text=f"A unit with weights `{row(weights)}`, bias {shown(bias)} and inputs `{row(values)}` "
        f"has dropconnect with p = {shown(drop)} in training; the mask of its weights is "
        f"`{row(mask)}` (1 is kept). What is its score?",
        conventions=(CHANCE, "kept weights are divided by 1 - p", "the bias is never dropped"),
        expected=Number(right),
        proved=proved,
        way="chainrule's DropConnectLinear with this very mask",
        mistakes=mistaken(
            (kept + bias, "forgets to divide by 1 - p"),
            ((kept + bias) / (1 - drop), "divides the bias too"),
            (kept / (1 - drop), "forgets the bias"),
            (dot(weights, values) + bias, "forgets the mask, as in evaluation mode"),
        ),
        solution=(
            f"kept terms: {shown(kept)}",
            f"{shown(kept)} / {shown(1 - drop)} {signed(bias)} = {shown(right)}",
        ),
    )  # fmt: skip


@torch.no_grad()
def _connected(
    drop: float, weights: list[float], bias: float, values: list[float]
) -> tuple[list[int], float]:
    """A mask that the real layer draws, told by unit inputs, and its score under the same."""
    layer = DropConnectLinear(4, 1, p=drop, dtype=torch.float64).train()
    layer.weight.copy_(torch.tensor([weights]))
    layer.bias.fill_(bias)
    one_by_one = torch.eye(4, dtype=torch.float64)
    inputs = torch.cat([one_by_one, torch.tensor([values], dtype=torch.float64)])
    while True:
        scores = layer(inputs).flatten()
        mask = [int(abs(float(score) - bias) > 1e-9) for score in scores[:4]]
        if 0 < sum(mask) < 4:
            return mask, float(scores[4])


def _entries(drawn: Random) -> Draft:
    inputs, units = drawn.randint(4, 20), drawn.choice((3, 7, 12, 15, 30))
    layer = DropConnectLinear(inputs, units)
    return Draft(
        text=f"A fully connected layer has {inputs} inputs, {units} units and biases. How many "
        "zeros and ones does dropconnect draw for a forward pass?",
        conventions=("one mask for the whole minibatch", "biases are never dropped"),
        expected=Number(inputs * units, "numbers"),
        proved=sum(1 for row_of in layer.weight for _ in row_of),
        way="counting the weights of chainrule's DropConnectLinear one by one",
        mistakes=mistaken(
            (inputs, "thinks of dropout on the inputs"),
            (units, "thinks of dropout on the units"),
            ((inputs + 1) * units, "draws for the biases too"),
            (inputs + units, "adds inputs and units"),
        ),
        solution=(
            "each weight is kept or dropped by itself", f"{inputs} * {units} = {inputs * units}",
        ),
    )  # fmt: skip


FAMILIES = (
    Family("dropconnect", "dropout", "dropconnect with a given mask", (1, 2), _dropconnect),
    Family("stochastic-depth", "dropout", "expected depth and output", LEVELS, _depth),
)  # fmt: skip
