"""Fully connected layers as convolutions; those of 1x1 and in groups are in channel_mixing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from chainrule.study.practice.expected import Number, Volume
from chainrule.study.practice.families import channel_mixing
from chainrule.study.practice.families.drawing import mistaken, plural
from chainrule.study.practice.families.windows import Window, widths
from chainrule.study.practice.question import LEVELS, Draft, Family, Mistake

_TOPIC, _SHOWN_BY = "fc-as-convolution", "fc-as-convolution"
_POOL2 = "POOL2 takes the largest of 2x2 at stride 2 and rounds down"
_NO_PADDING = "p0: no padding"
_FILTERS = ("height", "width", "channels", "filters")


@dataclass(frozen=True)
class _Net:
    """Convolutions and pools without padding, and a fully connected layer to scores."""

    side: int
    channels: int
    layers: tuple[tuple[str, Window, int], ...]
    units: int

    @property
    def notation(self) -> str:
        """As chainrule writes it."""
        names = [name for name, _, _ in self.layers]
        image = f"INPUT {self.side}x{self.side}x{self.channels}"
        return ", ".join([image, *names, f"FC-{self.units}"])

    @property
    def windows(self) -> list[Window]:
        return [window for _, window, _ in self.layers]

    @property
    def volume(self) -> tuple[int, int, int]:
        """Height, width and channels before the fully connected layer."""
        side = widths(self.windows, self.side)[-1]
        return side, side, self.layers[-1][2] if self.layers else self.channels

    def stretched(self, side: int) -> int:
        """Width of the map of scores on a larger image."""
        return widths(self.windows, side)[-1] - self.volume[0] + 1

    @property
    def conventions(self) -> tuple[str, ...]:
        names = " ".join(name for name, _, _ in self.layers)
        notes: tuple[str, ...] = ("sizes are height x width x channels",)
        notes += (_NO_PADDING,) if "p0" in names else ()
        notes += ("/2: stride 2",) if "/2" in names else ()
        return (*notes, *((_POOL2,) if "POOL2" in names else ()))


def _net(drawn: Random, level: int, units: Sequence[int]) -> _Net:
    """Level 1 has the fully connected layer alone, level 2 a convolution and a pool before it."""
    layers: list[tuple[str, Window, int]] = []
    channels = drawn.choice((1, 3))
    if level == 1:
        side, channels = drawn.choice((4, 5, 6, 7, 8)), drawn.choice((8, 16, 32, 64))
    else:
        for index in range(level - 1):
            kernel, filters = drawn.choice((3, 5) if index == 0 else (3,)), drawn.choice((4, 6, 8))
            stride = 2 if level == 3 and index == 0 and drawn.random() < 0.5 else 1
            strided = f"/{stride}" if stride > 1 else ""
            layers.append((f"CONV{kernel}-{filters}{strided} p0", Window(kernel, stride), filters))
            if stride == 1:
                layers.append(("POOL2", Window(2, 2, pools=True), filters))
        side = drawn.randint(14, 20) if level == 2 else drawn.randint(22, 30)
    return _Net(side, channels, tuple(layers), drawn.choice(units))


def _fc_to_convolution(drawn: Random, level: int) -> Draft:
    """Level 3 asks for the parameters of the convolution instead of its size."""
    net = _net(drawn, min(level, 2) if level < 3 else drawn.choice((2, 3)), (5, 10, 20, 50, 100))
    height, width, channels = net.volume
    said = (
        f"A fully connected layer of {net.units} units stands behind an activation volume of "
        f"{height}x{width}x{channels}."
        if level == 1
        else f"The last layer of `{net.notation}` is written as a convolution."
    )
    each, units = height * width * channels, net.units
    _, layer = _rewritten(net)
    count = sum(weight.numel() for weight in layer.parameters())
    filters, depth, high, wide = layer.weight.shape
    sizes = Volume((height, width, channels, units), _FILTERS)
    return Draft(
        text=f"{said} "
        + ("How many parameters does it have, biases counted?"
           if level == 3 else "What size are the filters of the convolution that computes the "
           "same, and how many are there? Give height x width x channels x number."),
        conventions=(*net.conventions[level == 1 :], "biases are counted")
        if level == 3 else net.conventions,
        expected=Number(units * (each + 1), "parameters") if level == 3 else sizes,
        proved=count if level == 3 else (high, wide, depth, filters),
        way="a real layer, rewritten as a convolution that gives the same scores",
        mistakes=mistaken(
            (units * each, "forgets the biases"),
            (units * (channels + 1), "takes filters of 1x1, which see one place only"),
            (units * (height * width + 1), "forgets that filters span all channels"),
            (units * each + 1, "has one bias for the whole layer"),
            (units * (net.side**2 * channels + 1), "takes the size of the image for the volume"),
        ) if level == 3 else (
            Mistake(f"1x1x{channels}x{units}", "sees one place only, not the whole volume"),
            Mistake(f"{height}x{width}x1x{units}", "forgets that filters span all channels"),
            Mistake(f"{height}x{width}x{channels}x1", "has one filter, but every unit needs one"),
            Mistake(f"1x1x{each}x{units}", "needs the volume flattened first"),
            Mistake(f"{net.side}x{net.side}x{channels}x{units}", "has the size of the image"),
            Mistake(f"{height}x{width}x{units}x{channels}", "swaps channels and number"),
        ),
        solution=(
            f"the volume before the layer is {height}x{width}x{channels}",
            "a unit has one weight for each number of it: a filter that fits at one place only",
            f"{plural(units, 'filter')} of {height}x{width}x{channels}"
            + (f": {units} x ({each} + 1) = {units * (each + 1):,}" if level == 3 else
               f": {sizes.text}"),
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


def _rewritten(net: _Net) -> tuple[list[nn.Module], nn.Conv2d]:
    """The layers before, and a convolution with the weights of a real fully connected layer.

    That the two give the same scores on an image is seen to here.
    """
    image = torch.randn(1, net.channels, net.side, net.side, dtype=torch.float64)
    with torch.no_grad():
        before = _before(net)
        volume = _run(before, image)
        layer = nn.Linear(volume.numel(), net.units).double()
        dense = nn.Conv2d(volume.shape[1], net.units, volume.shape[-1]).double()
        dense.weight.copy_(layer.weight.view(net.units, *volume.shape[1:]))
        dense.bias = layer.bias
        assert torch.allclose(dense(volume).flatten(1), layer(volume.flatten(1)))
    return before, dense


def _before(net: _Net) -> list[nn.Module]:
    channels, layers = net.channels, list[nn.Module]()
    for _, window, filters in net.layers:
        layers.append(
            nn.MaxPool2d(window.kernel, window.stride) if window.pools
            else nn.Conv2d(channels, filters, window.kernel, window.stride).double()
        )  # fmt: skip
        channels = filters
    return layers


def _run(layers: Sequence[nn.Module], values: Tensor) -> Tensor:
    for layer in layers:
        values = layer(values)
    return values


def _score_map(drawn: Random, level: int) -> Draft:
    """Level 2 has a pool, level 3 two halvings on the way."""
    net = _net(drawn, level, (2, 5, 10, 20))
    larger = net.side + (drawn.randint(2, 12) if level == 1 else drawn.randint(8, 30))
    size, units = net.stretched(larger), net.units
    volume, behind = net.volume[0], widths(net.windows, larger)[-1]
    before, dense = _rewritten(net)
    image = torch.zeros(1, net.channels, larger, larger, dtype=torch.float64)
    with torch.no_grad():
        found = dense(_run(before, image)).shape[1:]
    jump = 1
    for window in net.windows:
        jump *= window.stride
    return Draft(
        text=f"The fully connected layer of `{net.notation}` is written as a convolution. Which "
        f"volume of scores comes out on an image of {larger}x{larger}x{net.channels}?",
        conventions=net.conventions,
        expected=Volume((size, size, units)),
        proved=(*found[1:], found[0]),
        way="running the rewritten network on the larger image",
        mistakes=(
            Mistake(f"1x1x{units}", "gives the scores of one place only"),
            Mistake(f"{size - 1}x{size - 1}x{units}", "forgets the + 1 of the places"),
            Mistake(f"{behind}x{behind}x{units}", "takes the filters of the last layer for 1x1"),
            Mistake(f"{larger - net.side + 1}x{larger - net.side + 1}x{units}",
                    "moves the network by one pixel, whatever its strides"),
            Mistake(f"{larger // net.side}x{larger // net.side}x{units}",
                    "lays windows side by side without overlap"),
            Mistake(f"{size}x{size}x{net.volume[2]}", "keeps the channels of the volume before"),
        ),
        solution=(
            f"on {net.side}x{net.side} the last layer sees {volume}x{volume}: the size of its "
            "filters",
            f"on {larger}x{larger} the volume before it is {behind}x{behind}",
            f"the filters find {behind} - {volume} + 1 = {size} places along each axis, one step "
            f"being {plural(jump, 'pixel')} of the image",
            f"{size}x{size}x{units}",
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


FAMILIES = (
    Family("fc-to-convolution", _TOPIC, "the convolution that a fully connected layer is", LEVELS,
           _fc_to_convolution),
    Family("score-map", _TOPIC, "scores of the rewritten network on a larger image", LEVELS,
           _score_map),
    Family("one-by-one", _TOPIC, "a convolution of 1x1, place by place", LEVELS,
           channel_mixing.one_by_one),
    Family("grouped-parameters", _TOPIC, "parameters of convolutions in groups", LEVELS,
           channel_mixing.grouped_parameters),
)  # fmt: skip
