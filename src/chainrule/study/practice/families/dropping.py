"""Dropout, dropconnect and stochastic depth by hand, proved by the layers and by all masks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from random import Random

import torch
from torch import Tensor, nn

from chainrule.nn.dropconnect import DropConnectLinear
from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.drawing import (
    inner,
    mistaken,
    quarters,
    row,
    shown,
    signed,
    until,
)
from chainrule.study.practice.question import LEVELS, Draft, Family

_P = "p is the probability to drop, as in PyTorch"
_INVERTED = "inverted dropout: in training what is kept is divided by 1 - p"
_PLAIN = "plain dropout: in training what is kept is not scaled; in evaluation it is made up for"
_ALL_MASKS = "averaging over all masks with their probabilities"
_ALL_CHOICES = "averaging over all choices of skipped blocks with their probabilities"
_CHANCES = (0.2, 0.25, 0.5, 0.75)


def _masks(count: int, drop: float) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every mask of 0 and 1, with its probability."""
    for mask in itertools.product((0, 1), repeat=count):
        kept = sum(mask)
        yield mask, (1 - drop) ** kept * drop ** (count - kept)


def _average(count: int, drop: float, value: Callable[[tuple[int, ...]], float]) -> float:
    """The expectation of a value over all masks, one after the other."""
    return sum(chance * value(mask) for mask, chance in _masks(count, drop))


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _weights(drawn: Random, count: int) -> list[float]:
    return [quarters(drawn, -3, 3, 0.5) for _ in range(count)]


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
    drop, count = drawn.choice(_CHANCES), 4
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
        conventions=(_P, _INVERTED),
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
    weights = until(lambda: _weights(drawn, len(values)), lambda w: abs(_dot(w, kept)) > 0.5)
    right = _dot(weights, kept) / (1 - drop)
    return Draft(
        text=f"A unit has the weights `{row(weights)}` and no bias. Its inputs `{row(values)}` go "
        f"through inverted dropout with p = {shown(drop)} in training, with the mask "
        f"`{row(mask)}` (1 is kept). What is its score?",
        conventions=(_P, _INVERTED),
        expected=Number(right),
        proved=float(output @ torch.tensor(weights, dtype=torch.float64)),
        way="PyTorch's Dropout with this very mask",
        mistakes=mistaken(
            (right * (1 - drop), "forgets to divide by 1 - p"),
            (_dot(weights, values), "forgets the mask, as in evaluation mode"),
            (right * (1 - drop) ** 2, "multiplies by 1 - p instead of dividing"),
            (right * (1 - drop) / drop, "divides by p instead of 1 - p"),
            (_dot(weights, values) / (1 - drop), "divides by 1 - p, but drops nothing"),
        ),
        solution=(
            f"kept inputs: {row(kept)}",
            f"their weighted sum is {shown(right * (1 - drop))}, divided by {shown(1 - drop)}: "
            f"{shown(right)}",
        ),
    )  # fmt: skip


def _moments(drawn: Random, level: int) -> Draft:
    drop, count = drawn.choice(_CHANCES), 2 if level == 1 else 3
    values = [float(drawn.randint(1, 6)) for _ in range(count)]
    weights = until(lambda: _weights(drawn, count), lambda w: abs(_dot(w, values)) > 1)

    def score(mask: tuple[int, ...]) -> float:
        return _dot(weights, [x * m for x, m in zip(values, mask, strict=True)]) / (1 - drop)

    unit = (f"A unit has the weights `{row(weights)}` and no bias. Its inputs `{row(values)}` go "
            f"through inverted dropout with p = {shown(drop)}.")  # fmt: skip
    mean = _average(count, drop, score)
    if level == 1:
        return _expected_score(unit, drop, _dot(weights, values), mean)
    squares = sum((w * x) ** 2 for w, x in zip(weights, values, strict=True))
    variance = _average(count, drop, lambda mask: (score(mask) - mean) ** 2)
    if level == 2:
        return _variance(unit, drop, squares, variance, mean)
    return _second_moment(unit, drop, squares, _dot(weights, values), variance + mean**2)


def _expected_score(unit: str, drop: float, right: float, proved: float) -> Draft:
    return Draft(
        text=f"{unit} What is the expected value of its score in training?",
        conventions=(_P, _INVERTED, "units are dropped independently"),
        expected=Number(right),
        proved=proved,
        way=_ALL_MASKS,
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
        conventions=(_P, _INVERTED, "units are dropped independently; the inputs are fixed"),
        expected=Number(right),
        proved=proved,
        way=_ALL_MASKS,
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
        conventions=(_P, _INVERTED, "units are dropped independently", "no factor 1/2"),
        expected=Number(right),
        proved=proved,
        way=_ALL_MASKS,
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
    weights = until(lambda: _weights(drawn, 3), lambda w: abs(_dot(w, values)) > 1)
    plain = _dot(weights, values)
    right = plain * (1 - drop)
    return Draft(
        text=f"In training the inputs of a unit are dropped with p = {shown(drop)} and not scaled "
        f"(plain dropout). In evaluation mode its inputs are `{row(values)}`, its weights "
        f"`{row(weights)}`, no bias. What must its score be, so that it equals the expected score "
        "in training?",
        conventions=(_P, _PLAIN),
        expected=Number(right),
        proved=_average(3, drop, lambda mask: _dot(
            weights, [x * m for x, m in zip(values, mask, strict=True)])),
        way=_ALL_MASKS,
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
        conventions=(_P, _PLAIN, "masks are independent"),
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
        expected *= _average(2, drop, lambda mask: _dot((1, 2), mask))
    return plain / expected


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
        proved=_average(blocks, drop, sum),
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
        proved=_average(3, drop, output),
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
    drop, weights = drawn.choice((0.25, 0.5, 0.75)), _weights(drawn, 4)
    values, bias = [float(drawn.randint(1, 5)) for _ in range(4)], quarters(drawn, -2, 2, 0.5)
    mask, proved = until(
        lambda: _connected(drop, weights, bias, values),
        lambda found: (
            abs(_dot(weights, [x * m for x, m in zip(values, found[0], strict=True)])) > 0.5
        ),
    )
    kept = _dot(weights, [x * m for x, m in zip(values, mask, strict=True)])
    right = kept / (1 - drop) + bias
    return Draft(
        text=f"A unit with weights `{row(weights)}`, bias {shown(bias)} and inputs `{row(values)}` "
        f"has dropconnect with p = {shown(drop)} in training; the mask of its weights is "
        f"`{row(mask)}` (1 is kept). What is its score?",
        conventions=(_P, "kept weights are divided by 1 - p", "the bias is never dropped"),
        expected=Number(right),
        proved=proved,
        way="chainrule's DropConnectLinear with this very mask",
        mistakes=mistaken(
            (kept + bias, "forgets to divide by 1 - p"),
            ((kept + bias) / (1 - drop), "divides the bias too"),
            (kept / (1 - drop), "forgets the bias"),
            (_dot(weights, values) + bias, "forgets the mask, as in evaluation mode"),
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
    Family("dropout-mask", "dropout", "inverted dropout with a given mask", (1, 2), _mask),
    Family("dropout-moments", "dropout", "mean and variance under dropout", LEVELS, _moments),
    Family("dropout-at-test-time", "dropout", "plain dropout at test time", LEVELS, _at_test_time),
    Family("dropconnect", "dropout", "dropconnect with a given mask", (1, 2), _dropconnect),
    Family("stochastic-depth", "dropout", "expected depth and output", LEVELS, _depth),
)  # fmt: skip
