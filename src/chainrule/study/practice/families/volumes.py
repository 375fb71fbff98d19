"""Activation volumes and parameters of random networks, told by rules and proved by running."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import nn

from chainrule.analysis.describe import describe
from chainrule.network.source import network
from chainrule.study.practice.expected import Number, Volume
from chainrule.study.practice.families.windows import FLOORS
from chainrule.study.practice.question import LEVELS, Draft, Family, Mistake

_RAN = "a forward pass of the network that PyTorch builds"
_COUNTED = "counting the parameters of the module that PyTorch builds"
_ORDER = "volumes are height x width x channels"


@dataclass(frozen=True)
class _Convolution:
    """A convolution on a square image, and its notation."""

    side: int
    channels: int
    kernel: int
    filters: int
    stride: int
    padding: int

    @property
    def text(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return f"CONV{self.kernel}-{self.filters}{stride} p{self.padding}"

    @property
    def input(self) -> str:
        return f"INPUT {self.side}x{self.side}x{self.channels}"

    @property
    def out(self) -> int:
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def weights(self) -> int:
        return self.kernel**2 * self.channels


def _convolution(drawn: Random, level: int) -> _Convolution:
    """Level 1 keeps the size; level 2 pads nothing or strides; level 3 both, with odd sizes."""
    kernel = drawn.choice((3, 5, 7))
    side = drawn.choice((8, 16, 28, 32, 64)) if level < 3 else drawn.randrange(17, 60)
    stride = 1 if level == 1 else drawn.choice((1, 2, 3))
    same = (kernel - 1) // 2
    padding = same if level == 1 else drawn.randrange(0, same + 1)
    filters = drawn.choice((6, 8, 10, 12, 16, 20, 32, 64))
    return _Convolution(side, drawn.choice((1, 3, 4, 8)), kernel, filters, stride, padding)


def _volume_of_layer(drawn: Random, level: int) -> Draft:
    layer = _convolution(drawn, level)
    notation = f"{layer.input}, {layer.text}"
    out, filters = layer.out, layer.filters
    unpadded = (layer.side - layer.kernel) // layer.stride + 1
    return Draft(
        text=f"What is the activation volume behind `{layer.text}` on an input of "
        f"{layer.side}x{layer.side}x{layer.channels}? ({layer.kernel}x{layer.kernel} filters, "
        f"{filters} of them, stride {layer.stride}, {_zeros(layer.padding)} on each side)",
        conventions=(_ORDER, f"padding {layer.padding} is per side",
                     *((FLOORS,) if layer.stride > 1 else ())),
        expected=Volume((out, out, filters)),
        proved=_ran(notation),
        way=_RAN,
        mistakes=(
            Mistake(f"{out}x{out}x{filters * layer.channels}",
                    "multiplies filters by input channels, but each filter spans all of them"),
            Mistake(f"{unpadded}x{unpadded}x{filters}", "forgets the padding"),
            Mistake(f"{out}x{out}x{layer.channels}", "keeps the channels of the input"),
            Mistake(f"{out + 1}x{out + 1}x{filters}", "counts one place too many"),
            Mistake(f"{out}x{out}x{layer.kernel}", "takes their size for their number"),
        ),
        solution=(
            f"width = {_places(layer)} + 1 = {out}",
            f"one map for each of the {filters} filters: {out}x{out}x{filters}",
        ),
        experiment="receptive-field",
    )  # fmt: skip


def _zeros(count: int) -> str:
    return "no zeros" if not count else f"{count} zero{'s' * (count > 1)}"


def _places(layer: _Convolution) -> str:
    above = f"({layer.side} + 2 x {layer.padding} - {layer.kernel})"
    whole = (layer.side + 2 * layer.padding - layer.kernel) % layer.stride == 0
    return f"{above} / {layer.stride}" if whole else f"floor({above} / {layer.stride})"


def _ran(notation: str) -> tuple[int, ...]:
    """The volume that comes out of a real forward pass, height x width x channels."""
    module = network(notation)
    answer = describe(notation)
    with torch.no_grad():
        shape = module.eval()(torch.zeros(1, *answer.inputs[0])).shape[1:]
    return (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)


def _stack(drawn: Random, level: int) -> list[str]:
    """Layers of a small ConvNet, by their notation."""
    layers: list[str] = []
    for _ in range(level):
        kernel = drawn.choice((3, 5))
        padding = "" if layers else drawn.choice(("", " p0"))  # later the image may be small
        layers += [f"CONV{kernel}-{drawn.choice((6, 8, 12, 16, 24))}{padding}", "RELU"]
        if drawn.random() < 0.7:
            layers.append("POOL2")
    return layers


def _volume_of_network(drawn: Random, level: int) -> Draft:
    side, channels = drawn.choice((24, 28, 32, 48, 64)), drawn.choice((1, 3))
    layers = _stack(drawn, level)
    notation = f"INPUT {side}x{side}x{channels}, {', '.join(layers)}"
    rows = describe(notation).layers
    volumes = [_turned(row.output) for row in rows]
    height, _, depth = volumes[-1]
    steps = tuple(
        f"{text}: {'x'.join(map(str, volume))}"
        for text, volume in zip(layers, volumes, strict=True)
    )
    return Draft(
        text=f"What is the activation volume at the end of `{notation}`?",
        conventions=(_ORDER, "CONVk-F pads (k - 1)/2 on each side unless p says otherwise",
                     "POOL2 takes the largest of 2x2 at stride 2 and rounds down"),
        expected=Volume(volumes[-1]),
        proved=_ran(notation),
        way=_RAN,
        mistakes=(
            Mistake(f"{side}x{side}x{depth}", "keeps the size of the input all along"),
            Mistake(f"{height}x{height}x{channels}", "keeps the channels of the input"),
            Mistake(f"{2 * height}x{2 * height}x{depth}", "pools once too little"),
            Mistake(f"{max(1, height // 2)}x{max(1, height // 2)}x{depth}", "pools once too often"),
            Mistake(f"{height + 2}x{height + 2}x{depth}", "pads where nothing is padded"),
        ),
        solution=steps,
    )  # fmt: skip


def _turned(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    assert shape is not None
    return (*shape[1:], shape[0])


def _parameters_of_layer(drawn: Random, level: int) -> Draft:
    layer = _convolution(drawn, level)
    weights, filters = layer.weights, layer.filters
    right = filters * (weights + 1)
    module = nn.Conv2d(layer.channels, filters, layer.kernel)
    k, c = layer.kernel, layer.channels
    return Draft(
        text=f"How many parameters does `{layer.text}` have on an input of "
        f"{layer.side}x{layer.side}x{c}?",
        conventions=("weights and biases are counted, one bias per filter",),
        expected=Number(right, "parameters"),
        proved=sum(p.numel() for p in module.parameters()),
        way=_COUNTED,
        mistakes=(
            Mistake(str(filters * weights), "forgets the biases"),
            Mistake(str(filters * (k**2 + 1)), "forgets that filters span all input channels"),
            Mistake(str(filters * k**2 * c + 1), "has one bias for the whole layer"),
            Mistake(str(right * layer.out**2), "does not share the filters over the places"),
            Mistake(str(filters * (k * c + 1)), "takes the width of a filter for its area"),
        ),
        solution=(
            f"each filter: {k} x {k} x {c} weights and 1 bias = {weights + 1}",
            f"{filters} filters: {filters} x {weights + 1} = {right:,}",
            "the size of the image does not matter: filters are shared over all places",
        ),
    )


def _parameters_of_network(drawn: Random, level: int) -> Draft:
    side, channels = drawn.choice((24, 28, 32)), drawn.choice((1, 3))
    layers = [*_stack(drawn, level), f"FC-{drawn.choice((10, 20, 100))}"]
    notation = f"INPUT {side}x{side}x{channels}, {', '.join(layers)}"
    rows = describe(notation).layers
    right = sum(row.parameters for row in rows)
    weighted = [row for row in rows if row.parameters]
    last = weighted[-1].parameters
    outputs = sum(_biases(row.output) for row in weighted)
    return Draft(
        text=f"How many parameters does `{notation}` have in all?",
        conventions=("weights and biases are counted",
                     "CONVk-F pads (k - 1)/2 on each side unless p says otherwise"),
        expected=Number(right, "parameters"),
        proved=sum(p.numel() for p in network(notation).parameters()),
        way=_COUNTED,
        mistakes=(
            Mistake(str(right - outputs), "forgets the biases"),
            Mistake(str(right - last), "forgets the fully connected layer"),
            Mistake(str(last), "counts the fully connected layer alone"),
            Mistake(str(right + outputs), "counts the biases twice"),
        ),
        solution=(
            *(f"{row.name}: {row.formula} = {row.parameters:,}" for row in weighted),
            f"together {right:,}",
        ),
    )  # fmt: skip


def _biases(shape: tuple[int, ...] | None) -> int:
    assert shape is not None
    return shape[0]


FAMILIES = (
    Family("layer-volume", "activation-volumes", "volume behind a convolution", LEVELS,
           _volume_of_layer),
    Family("network-volume", "activation-volumes", "volume at the end of a ConvNet", LEVELS,
           _volume_of_network),
    Family("layer-parameters", "parameters", "parameters of a convolution", LEVELS,
           _parameters_of_layer),
    Family("network-parameters", "parameters", "parameters of a ConvNet", LEVELS,
           _parameters_of_network),
)  # fmt: skip
