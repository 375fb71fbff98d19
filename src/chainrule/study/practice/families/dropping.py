"""Dropout, dropconnect and stochastic depth by hand, proved by the layers and by all masks."""

from __future__ import annotations

import math
from random import Random

import torch
from torch import Tensor, nn

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.drawing import (
    inner,
    mistaken,
    row,
    shown,
    until,
)
from chainrule.study.practice.families.masks import (
    ALL_MASKS,
    CHANCE,
    CHANCES,
    INVERTED,
    PLAIN,
    average,
    dot,
    weights_of,
)
from chainrule.study.practice.question import LEVELS, Draft, Family


def _run_twice(layer: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two inputs through the layer with the same mask, drawn anew until some is kept, some not."""
    while True:
        state = torch.get_rng_state()
        one = layer(first)
        kept = int((one != 0).sum())
        if 0 < kept < one.numel():
            torch.set_rng_state(state)
            return one, layer(second)


def _mask(drawn: Random, level: int) -> Draft:
    """The mask is one that the real layer draws."""
    drop, count = drawn.choice(CHANCES), 4
    values = [float(drawn.choice((1, 2, 3, 4, 5, 6, 8))) for _ in range(count)]
    layer = nn.Dropout(drop).train()
    ones = torch.ones(count, dtype=torch.float64)
    drawn_mask, output = _run_twice(layer, ones, torch.tensor(values, dtype=torch.float64))
    mask = [int(item != 0) for item in drawn_mask]
    kept = [x * m for x, m in zip(values, mask, strict=True)]
    right = [x / (1 - drop) for x in kept]
    if level == 2:
        return _masked_score(drawn, drop, values, mask, output)
    return Draft(
        text=f"Inverted dropout with p = {shown(drop)} in training gets the activations "
        f"`{row(values)}` and draws the mask `{row(mask)}` (1 is kept). What does it give?",
        conventions=(CHANCE, INVERTED),
        expected=Vector(tuple(right)),
        proved=output,
        way="PyTorch's Dropout with this very mask",
        mistakes=mistaken(
            (kept, "forgets to divide by 1 - p"),
            ([x / drop for x in kept], "divides by p instead of 1 - p"),
            ([x * (1 - drop) for x in kept], "multiplies by 1 - p instead of dividing"),
            ([x / (1 - drop) * (1 - m) for x, m in zip(values, mask, strict=True)],
             "drops what is to be kept"),
            ([x * m / (1 - drop) if m else x for x, m in zip(values, mask, strict=True)],
             "leaves what is dropped as it is"),
        ),
        solution=(
            f"kept: {row(kept)}", f"divided by 1 - {shown(drop)} = {shown(1 - drop)}: {row(right)}",
        ),
    )  # fmt: skip


def _masked_score(
    drawn: Random, drop: float, values: list[float], mask: list[int], output: Tensor
) -> Draft:
    """The gradient of a score behind dropout, which goes through the same mask."""
    kept = [x * m for x, m in zip(values, mask, strict=True)]
    weights = until(lambda: weights_of(drawn, len(values)), lambda w: abs(dot(w, kept)) > 0.5)
    right = dot(weights, kept) / (1 - drop)
    return Draft(
        text=f"A unit has the weights `{row(weights)}` and no bias. Its inputs `{row(values)}` go "
        f"through inverted dropout with p = {shown(drop)} in training, with the mask "
        f"`{row(mask)}` (1 is kept). What is its score?",
        conventions=(CHANCE, INVERTED),
        expected=Number(right),
        proved=float(output @ torch.tensor(weights, dtype=torch.float64)),
        way="PyTorch's Dropout with this very mask",
        mistakes=mistaken(
            (right * (1 - drop), "forgets to divide by 1 - p"),
            (dot(weights, values), "forgets the mask, as in evaluation mode"),
            (right * (1 - drop) ** 2, "multiplies by 1 - p instead of dividing"),
            (right * (1 - drop) / drop, "divides by p instead of 1 - p"),
            (dot(weights, values) / (1 - drop), "divides by 1 - p, but drops nothing"),
        ),
        solution=(
            f"kept inputs: {row(kept)}",
            f"their weighted sum is {shown(right * (1 - drop))}, divided by {shown(1 - drop)}: "
            f"{shown(right)}",
        ),
    )  # fmt: skip


def _moments(drawn: Random, level: int) -> Draft:
    drop, count = drawn.choice(CHANCES), 2 if level == 1 else 3
    values = [float(drawn.randint(1, 6)) for _ in range(count)]
    weights = until(lambda: weights_of(drawn, count), lambda w: abs(dot(w, values)) > 1)

    def score(mask: tuple[int, ...]) -> float:
        return dot(weights, [x * m for x, m in zip(values, mask, strict=True)]) / (1 - drop)

    unit = (f"A unit has the weights `{row(weights)}` and no bias. Its inputs `{row(values)}` go "
            f"through inverted dropout with p = {shown(drop)}.")  # fmt: skip
    mean = average(count, drop, score)
    if level == 1:
        return _expected_score(unit, drop, dot(weights, values), mean)
    squares = sum((w * x) ** 2 for w, x in zip(weights, values, strict=True))
    variance = average(count, drop, lambda mask: (score(mask) - mean) ** 2)
    if level == 2:
        return _variance(unit, drop, squares, variance, mean)
    return _second_moment(unit, drop, squares, dot(weights, values), variance + mean**2)


def _expected_score(unit: str, drop: float, right: float, proved: float) -> Draft:
    return Draft(
        text=f"{unit} What is the expected value of its score in training?",
        conventions=(CHANCE, INVERTED, "units are dropped independently"),
        expected=Number(right),
        proved=proved,
        way=ALL_MASKS,
        mistakes=mistaken(
            (right * (1 - drop), "forgets the division by 1 - p"),
            (right / (1 - drop), "forgets that some of the inputs are dropped"),
            (right * drop, "multiplies by p"),
            (right * (1 - drop) ** 2, "takes 1 - p twice instead of once up, once down"),
        ),
        solution=(
            f"each input is kept with probability {shown(1 - drop)} and divided by as much: its "
            "expected value is itself",
            f"the expected score is that without dropout: {shown(right)}",
        ),
    )  # fmt: skip


def _variance(unit: str, drop: float, squares: float, proved: float, mean: float) -> Draft:
    right = squares * drop / (1 - drop)
    return Draft(
        text=f"{unit} What is the variance of its score in training, over the masks?",
        conventions=(CHANCE, INVERTED, "units are dropped independently; the inputs are fixed"),
        expected=Number(right),
        proved=proved,
        way=ALL_MASKS,
        mistakes=mistaken(
            (squares * drop * (1 - drop), "forgets that what is kept is divided by 1 - p"),
            (squares * drop, "divides by 1 - p instead of its square"),
            (squares * (1 - drop) / drop, "swaps p and 1 - p"),
            (mean**2 * drop / (1 - drop), "squares the sum instead of summing the squares"),
            (math.sqrt(right), "gives the standard deviation"),
        ),
        solution=(
            f"each term w x m / (1 - p) has variance (w x)^2 p / (1 - p), with p / (1 - p) = "
            f"{shown(drop / (1 - drop))}",
            f"sum of (w x)^2 = {shown(squares)}",
            f"{shown(squares)} * {shown(drop / (1 - drop))} = {shown(right)}",
        ),
    )  # fmt: skip


def _second_moment(unit: str, drop: float, squares: float, plain: float, proved: float) -> Draft:
    """The expected squared error of a linear unit: dropout is an L2 penalty in disguise."""
    added = squares * drop / (1 - drop)
    right = plain**2 + added
    return Draft(
        text=f"{unit} The loss is the square of its score (the target is 0). What is the expected "
        "loss in training, over the masks?",
        conventions=(CHANCE, INVERTED, "units are dropped independently", "no factor 1/2"),
        expected=Number(right),
        proved=proved,
        way=ALL_MASKS,
        mistakes=mistaken(
            (plain**2, "takes the square of the expected score"),
            (added, "forgets the expected score"),
            (plain**2 + squares * drop * (1 - drop), "forgets that what is kept is divided"),
            (plain**2 / (1 - drop), "divides the loss without dropout by 1 - p"),
        ),
        solution=(
            "expected square = square of the mean + variance",
            f"mean {shown(plain)}, variance: sum of (w x)^2 times p / (1 - p) = {shown(added)}",
            f"{inner(plain)}^2 + {shown(added)} = {shown(right)}: the second term is a penalty on "
            "the squared weights",
        ),
        experiment="overfitting-cures",
    )  # fmt: skip


def _at_test_time(drawn: Random, level: int) -> Draft:
    return _plain_score(drawn) if level == 1 else _forgotten(drawn, level)


def _plain_score(drawn: Random) -> Draft:
    drop = drawn.choice((0.2, 0.25, 0.75, 0.4))
    values = [float(drawn.randint(1, 6)) for _ in range(3)]
    weights = until(lambda: weights_of(drawn, 3), lambda w: abs(dot(w, values)) > 1)
    plain = dot(weights, values)
    right = plain * (1 - drop)
    return Draft(
        text=f"In training the inputs of a unit are dropped with p = {shown(drop)} and not scaled "
        f"(plain dropout). In evaluation mode its inputs are `{row(values)}`, its weights "
        f"`{row(weights)}`, no bias. What must its score be, so that it equals the expected score "
        "in training?",
        conventions=(CHANCE, PLAIN),
        expected=Number(right),
        proved=average(3, drop, lambda mask: dot(
            weights, [x * m for x, m in zip(values, mask, strict=True)])),
        way=ALL_MASKS,
        mistakes=mistaken(
            (plain, "forgets to scale, as only inverted dropout may"),
            (plain * drop, "multiplies by p instead of 1 - p"),
            (plain / (1 - drop), "divides by 1 - p, which belongs to training"),
            (plain * (1 - drop) ** 2, "scales twice"),
        ),
        solution=(
            f"without dropout: {shown(plain)}",
            f"in evaluation times 1 - p: {shown(plain)} * {shown(1 - drop)} = {shown(right)}",
        ),
    )  # fmt: skip


def _forgotten(drawn: Random, level: int) -> Draft:
    """Several linear layers behind each other, none of them scaled."""
    layers = drawn.randint(2, 5) if level == 2 else 3
    chances = (0.1, 0.2, 0.25, 0.4, 0.5)
    drops = [drawn.choice(chances)] * layers if level == 2 else drawn.sample(chances, layers)
    right = math.prod(1 / (1 - drop) for drop in drops)
    told = shown(drops[0]) if level == 2 else f"{row(drops)} (layer by layer)"
    return Draft(
        text=f"A network of {layers} linear layers without biases has plain dropout with p = "
        f"{told} in front of every layer. By which factor are its scores in evaluation mode too "
        "large against the expected scores in training, if nobody scales them?",
        conventions=(CHANCE, PLAIN, "masks are independent"),
        expected=Number(right),
        proved=_ratio(drops),
        way="averaging a network of two units per layer over all its masks",
        mistakes=mistaken(
            (1 / (1 - drops[0]), "counts one layer only"),
            (sum(1 / (1 - drop) for drop in drops), "adds the layers up instead of multiplying"),
            (math.prod(1 / drop for drop in drops), "takes p for 1 - p"),
            (1 / right, "gives the factor the other way round"),
            (1.0, "thinks of inverted dropout"),
        ),
        solution=(
            "the expected value shrinks by 1 - p in front of every layer",
            " * ".join(f"1 / {shown(1 - drop)}" for drop in drops) + f" = {shown(right)}",
        ),
    )  # fmt: skip


def _ratio(drops: list[float]) -> float:
    """The score without dropout over the expected score, all masks of each layer tried.

    Layers have two inputs, weights 1 and 2, and give the same to both inputs of the next.
    """
    plain = expected = 1.0
    for drop in drops:
        plain *= 3
        expected *= average(2, drop, lambda mask: dot((1, 2), mask))
    return plain / expected


FAMILIES = (
    Family("dropout-mask", "dropout", "inverted dropout with a given mask", (1, 2), _mask),
    Family("dropout-moments", "dropout", "mean and variance under dropout", LEVELS, _moments),
    Family("dropout-at-test-time", "dropout", "plain dropout at test time", LEVELS, _at_test_time),
)  # fmt: skip
