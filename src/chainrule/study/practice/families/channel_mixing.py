"""Convolutions of 1x1 and in groups: how channels are mixed, or are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import nn
from torch.nn import functional

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.drawing import mistaken, row, shown, until
from chainrule.study.practice.question import Draft

_CHANNELS = 3
_COUNTED = "counting the parameters of PyTorch's layers"


@dataclass(frozen=True)
class _Mix:
    """Convolutions of 1x1 one after another, with a ReLU behind the first where there is one."""

    weights: tuple[list[list[float]], ...]
    biases: tuple[list[float], ...]
    relu: bool

    def at(self, place: Sequence[float]) -> list[float]:
        """The fully connected layers at one place."""
        values = list(place)
        for index, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = [_product(one, values) + b for one, b in zip(weights, biases, strict=True)]
            if self.relu and index == 0:
                values = [max(0.0, value) for value in values]
        return values

    @property
    def hidden(self) -> _Mix:
        """The first layer without its ReLU."""
        return _Mix(self.weights[:1], self.biases[:1], False)

    def ran(self, places: Sequence[Sequence[float]]) -> list[list[float]]:
        """PyTorch's convolution over all places of a row."""
        values = torch.tensor(places, dtype=torch.float64).T[None, :, None]
        for index, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            filters = torch.tensor(weights, dtype=torch.float64)[..., None, None]
            values = functional.conv2d(values, filters, torch.tensor(biases, dtype=torch.float64))
            values = values.relu() if self.relu and index == 0 else values
        found: list[list[float]] = values[0, :, 0].T.tolist()
        return found


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _numbers(drawn: Random, size: int) -> list[float]:
    return [float(drawn.choice((-3, -2, -1, 1, 2, 3, 4))) for _ in range(size)]


def _mix(drawn: Random, level: int) -> _Mix:
    sizes = (_CHANNELS, 2)[: 2 if level == 3 else 1]
    weights = tuple([_numbers(drawn, size) for _ in range(2)] for size in sizes)
    return _Mix(weights, tuple(_numbers(drawn, 2) for _ in sizes), level > 1)


def one_by_one(drawn: Random, level: int) -> Draft:
    """Level 1 has one place; level 2 asks for one of two, with a ReLU; level 3 has two layers."""
    mix, places = until(
        lambda: (_mix(drawn, level), [_numbers(drawn, _CHANNELS) for _ in range(min(level, 2))]),
        lambda found: _telling(found[0], found[1], level),
    )
    right, hidden = mix.at(places[-1]), mix.hidden.at(places[-1])
    unbiased = replace(mix, biases=tuple([0.0] * len(biases) for biases in mix.biases))
    linear = replace(mix, relu=False).at(places[-1])
    where = " and ".join(row(place) for place in places)
    has = "A place of a volume has" if level == 1 else "Two neighbouring places of a volume have"
    return Draft(
        text=f"{has} the channels {where}. A convolution 1x1 has {_described(mix, 0)}"
        f"{', then comes a ReLU' if level > 1 else ''}"
        f"{f', then a convolution 1x1 with {_described(mix, 1)}' if level == 3 else ''}. Which two "
        f"numbers come out {'there' if level == 1 else 'at the second place'}, in the order of the "
        "filters?",
        conventions=("a filter has one weight per channel, in the order of the channels",
                     "filters are multiplied as they stand, not mirrored"),
        expected=Vector(tuple(right)),
        proved=mix.ran(places)[-1],
        way="PyTorch's convolution in float64",
        mistakes=mistaken(
            *([(linear, "forgets the ReLU"), (mix.at(places[0]), "answers for the first place")]
              if level > 1 else []),
            *([(hidden, "stops before the ReLU")] if level == 3 else []),
            (unbiased.at(places[-1]), "forgets the biases"),
            (right[::-1], "swaps the two numbers"),
            ([sum(right)] * 2, "adds up what the two filters give"),
            (mix.at(places[-1][::-1]), "takes the channels in the wrong order"),
            *([([value / _CHANNELS for value in right], "takes the mean over the channels")]
              if level == 1 else []),
        ),
        solution=(
            "at every place a convolution 1x1 is a fully connected layer over the channels",
            *(f"filter {row(one)} times {row(places[-1])} plus the bias {shown(bias)}: "
              f"{shown(value)}" for one, bias, value
              in zip(mix.weights[0], mix.biases[0], hidden, strict=True)),
            *([f"behind the ReLU: {row([max(0.0, value) for value in hidden])}"]
              if level > 1 else []),
            *([f"through the second layer: {row(right)}"] if level == 3 else []),
            f"the numbers are {row(right)}",
        ),
        experiment="fc-as-convolution",
    )  # fmt: skip


def _described(mix: _Mix, index: int) -> str:
    first, second = mix.weights[index]
    return f"the filters {row(first)} and {row(second)} and the biases {row(mix.biases[index])}"


def _telling(mix: _Mix, places: Sequence[Sequence[float]], level: int) -> bool:
    """The filters differ, and the ReLU takes one of the two numbers and leaves the other."""
    hidden, right = mix.hidden.at(places[-1]), mix.at(places[-1])
    apart = right[0] != right[1] and 0 not in hidden
    return apart and (level == 1 or min(hidden) < 0 < max(hidden))


def grouped_parameters(drawn: Random, level: int) -> Draft:
    """Level 1 is depthwise, level 2 in groups; level 3 compares depthwise separable and full."""
    if level == 3:
        return _separable(drawn)
    kernel = drawn.choice((3, 5, 7))
    groups = drawn.randrange(8, 68, 4) if level == 1 else drawn.choice((2, 4, 8))
    channels = groups if level == 1 else groups * drawn.choice((2, 3, 4, 8))
    filters = channels if level == 1 else groups * drawn.choice((2, 4, 5, 8))
    each, inner = channels // groups, f"{kernel}x{kernel}"
    right = filters * (kernel**2 * each + 1)
    kind = "A depthwise convolution" if level == 1 else f"A convolution in {groups} groups"
    with_groups = nn.Conv2d(channels, filters, kernel, groups=groups)
    return Draft(
        text=f"{kind} with filters of {inner} has {channels} channels in and {filters} out. How "
        "many parameters does it have?",
        conventions=("weights and biases are counted, one bias per filter",
                     "depthwise: each channel has one filter of its own" if level == 1 else
                     "each group of filters sees its own equal share of the input channels"),
        expected=Number(right, "parameters"),
        proved=_counted([with_groups]),
        way=_COUNTED,
        mistakes=mistaken(
            (filters * (kernel**2 * channels + 1), "lets every filter span all channels"),
            (filters * kernel**2 * each, "forgets the biases"),
            (kernel**2 * each + 1, "counts one filter"),
            (filters * (kernel * each + 1), "takes the width of a filter for its area"),
            (right // groups, "counts one group"),
            (filters * (kernel**2 * groups + 1), "takes the number of groups for their channels"),
        ),
        solution=(
            f"each filter sees {channels} / {groups} = {each} of the channels: "
            f"{kernel} x {kernel} x {each} weights and 1 bias = {kernel**2 * each + 1}",
            f"{filters} filters: {filters} x {kernel**2 * each + 1} = {right:,}",
        ),
    )  # fmt: skip


def _separable(drawn: Random) -> Draft:
    kernel, channels = drawn.choice((3, 5)), drawn.choice((8, 10, 16, 20, 32))
    filters = drawn.choice((10, 16, 20, 32, 64))
    full = kernel**2 * channels * filters
    depthwise, mixing = kernel**2 * channels, channels * filters
    ratio = full / (depthwise + mixing)
    layers = [nn.Conv2d(channels, channels, kernel, groups=channels, bias=False),
              nn.Conv2d(channels, filters, 1, bias=False)]  # fmt: skip
    whole = nn.Conv2d(channels, filters, kernel, bias=False)
    return Draft(
        text=f"A convolution of {kernel}x{kernel} from {channels} to {filters} channels is "
        f"replaced by a depthwise one of {kernel}x{kernel} and one of 1x1 from {channels} to "
        f"{filters}. How many times fewer weights are there than before?",
        conventions=("weights before / weights after", "biases are not counted"),
        expected=Number(ratio, "times"),
        proved=_counted([whole]) / _counted(layers),
        way=_COUNTED,
        mistakes=mistaken(
            (float(kernel**2), "forgets the depthwise weights"),
            (float(filters), "forgets the convolution of 1x1"),
            (1 / ratio, "divides after by before"),
            (full / (depthwise * mixing), "multiplies the two layers instead of adding them"),
            (full / (kernel**2 * channels**2 + mixing), "lets depthwise filters span all channels"),
        ),
        solution=(
            f"before: {kernel} x {kernel} x {channels} x {filters} = {full:,}",
            f"after: {kernel} x {kernel} x {channels} + {channels} x {filters} = "
            f"{depthwise + mixing:,}",
            f"{full:,} / {depthwise + mixing:,} = {shown(ratio)}",
        ),
    )  # fmt: skip


def _counted(layers: Sequence[nn.Module]) -> int:
    return sum(weight.numel() for layer in layers for weight in layer.parameters())
