"""Facts of ConvNets: sizes, parameters, receptive fields, pooling, shifts."""

from __future__ import annotations

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.study.practice.families.claims import Claim, Fact, either, gradient_of
from chainrule.study.practice.families.drawing import plural


def _seen(module: nn.Module, side: int) -> int:
    """How wide a part of the image the middle output depends on."""
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    image = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    output = module.double()(image)
    torch.autograd.backward(output[0, 0, output.shape[2] // 2, output.shape[3] // 2])
    return int((gradient_of(image)[0, 0] != 0).any(0).sum())


def _layers(count: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Module:
    return nn.Sequential(*(
        nn.Conv2d(1, 1, kernel, stride, dilation=dilation) for _ in range(count)
    ))  # fmt: skip


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _stacked(drawn: Random) -> Claim:
    count, kernel = drawn.randint(2, 4), drawn.choice((3, 3, 5))
    right = count * (kernel - 1) + 1
    said = either(drawn, right, [count * kernel, right + 2, kernel**count])
    seen = _seen(_layers(count, kernel), 40)
    return Claim(
        f"A unit behind {count} convolutions of {kernel}x{kernel} at stride 1 sees {said}x{said} "
        "pixels of the input.",
        said == right, seen == said, f"Its gradient reaches {seen}x{seen} pixels.",
    )  # fmt: skip


def _strided(drawn: Random) -> Claim:
    kernel, stride = drawn.choice((3, 5)), drawn.choice((2, 3))
    right = kernel + stride * (kernel - 1)
    said = either(drawn, right, [2 * kernel - 1, stride * kernel, right + stride])
    seen = _seen(_layers(2, kernel, stride), 48)
    return Claim(
        f"A unit behind two convolutions of {kernel}x{kernel} at stride {stride} sees "
        f"{said}x{said} pixels of the input.",
        said == right, seen == said, f"Its gradient reaches {seen}x{seen} pixels.",
    )  # fmt: skip


def _dilated(drawn: Random) -> Claim:
    kernel, dilation = drawn.choice((3, 5, 7)), drawn.choice((2, 3, 4))
    right = dilation * (kernel - 1) + 1
    said = either(drawn, right, [dilation * kernel, kernel + dilation, dilation * (kernel + 1)])
    image = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    side = 40 - nn.Conv2d(1, 1, kernel, dilation=dilation).double()(image).shape[2] + 1
    return Claim(
        f"A {kernel}x{kernel} filter with dilation {dilation} spans {said} pixels from its first "
        "to its last.",
        said == right, side == said, f"Without padding an image of 40 pixels shrinks as by a "
        f"filter of {side}.",
    )  # fmt: skip


def _small_filters(drawn: Random) -> Claim:
    channels, count = drawn.choice((4, 8, 16)), drawn.choice((2, 3))
    large = 2 * count + 1
    word = drawn.choice(("fewer", "more"))
    small = count * _parameters(nn.Conv2d(channels, channels, 3))
    one = _parameters(nn.Conv2d(channels, channels, large))
    holds = count * 9 < large**2
    return Claim(
        f"{count} convolutions of 3x3, {channels} channels to {channels}, have {word} parameters "
        f"than the one of {large}x{large} with the same receptive field.",
        holds == (word == "fewer"), (small < one) == (word == "fewer"),
        f"Counted with biases: {small:,} against {one:,}.",
    )  # fmt: skip


def _fully_connected(drawn: Random) -> Claim:
    side, channels, units = drawn.choice((4, 5, 7)), drawn.choice((2, 4, 8)), drawn.choice((10, 20))
    kernel = either(drawn, side, [1, side - 2])
    dense, conv = nn.Linear(side**2 * channels, units), nn.Conv2d(channels, units, kernel)
    a, b = _parameters(dense), _parameters(conv)
    return Claim(
        f"A fully connected layer of {units} units on a volume of {side}x{side}x{channels} has as "
        f"many parameters as a convolution of {units} filters of {kernel}x{kernel} on it.",
        kernel == side, a == b, f"Counted: {a:,} and {b:,}.",
    )  # fmt: skip


def _slides(drawn: Random) -> Claim:
    kernel, more = drawn.choice((4, 5, 7)), drawn.randint(1, 6)
    right = more + 1
    said = either(drawn, right, [more, right + 1, 1])
    size = nn.Conv2d(1, 2, kernel)(torch.zeros(1, 1, kernel + more, kernel + more)).shape[2]
    return Claim(
        f"A fully connected layer made for {kernel}x{kernel} inputs, turned into a convolution and "
        f"run on {kernel + more}x{kernel + more} inputs, gives scores at {said}x{said} places.",
        said == right, size == said, f"The convolution gives {size}x{size} places.",
    )  # fmt: skip


def _shared(drawn: Random) -> Claim:
    kind, side = (
        drawn.choice(("convolution of 5x5", "fully connected layer")),
        drawn.choice((8, 12)),
    )
    counts = [
        _parameters(nn.Conv2d(3, 6, 5) if "conv" in kind else nn.Linear(3 * one**2, 6))
        for one in (side, 2 * side)
    ]
    return Claim(
        f"A {kind} with 6 {'filters' if 'conv' in kind else 'units'} on an image of "
        f"{side}x{side}x3 has as many parameters as one on an image of {2 * side}x{2 * side}x3.",
        "conv" in kind, counts[0] == counts[1], f"Counted: {counts[0]:,} and {counts[1]:,}.",
    )  # fmt: skip


def _keeps_size(drawn: Random) -> Claim:
    kernel, side = drawn.choice((3, 5, 7, 9)), drawn.choice((16, 28, 32))
    right = (kernel - 1) // 2
    padding = either(drawn, right, [kernel - 1, right - 1, right + 1])
    size = nn.Conv2d(1, 1, kernel, padding=padding)(torch.zeros(1, 1, side, side)).shape[2]
    return Claim(
        f"A {kernel}x{kernel} convolution at stride 1 with {plural(padding, 'pixel')} of zeros on "
        f"each side keeps a {side}x{side} image at its size.",
        padding == right, size == side, f"It comes out as {size}x{size}.",
    )  # fmt: skip


def _pool_gradient(drawn: Random) -> Claim:
    kind, side = drawn.choice(("max", "average")), drawn.choice((4, 6, 8))
    said = drawn.choice((1, 4))
    right = 1 if kind == "max" else 4
    image = torch.randn(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    pooled = F.max_pool2d(image, 2) if kind == "max" else F.avg_pool2d(image, 2)
    torch.autograd.backward(pooled[0, 0, 0, 0])
    count = int((gradient_of(image) != 0).sum())
    return Claim(
        f"Of each 2x2 window, 2x2 {kind} pooling passes its gradient to {plural(said, 'input')} "
        "(if no two are equal).",
        said == right, count == said, f"On a random {side}x{side} image it reaches {count}.",
    )  # fmt: skip


def _pool_parameters(drawn: Random) -> Claim:
    kind, channels = drawn.choice(("max pooling", "batchnorm", "ReLU", "dropout")), drawn.choice(
        (8, 16, 32))  # fmt: skip
    module = {"max pooling": nn.MaxPool2d(2), "batchnorm": nn.BatchNorm2d(channels),
              "ReLU": nn.ReLU(), "dropout": nn.Dropout()}[kind]  # fmt: skip
    count = _parameters(module)
    return Claim(
        f"A {kind} layer on {channels} channels has no parameters.",
        kind != "batchnorm", count == 0, f"PyTorch's has {plural(count, 'parameter')}.",
    )  # fmt: skip


def _pool_shift(drawn: Random) -> Claim:
    pool, shift = drawn.choice((2, 3, 4)), drawn.randint(1, 4)
    image = torch.randn(1, 1, 24, 24, dtype=torch.float64)
    moved = torch.roll(image, shift, dims=3)
    before = F.max_pool2d(image, pool)
    after = F.max_pool2d(moved, pool)
    same = any(torch.equal(torch.roll(before, k, dims=3), after) for k in range(24 // pool))
    return Claim(
        f"Moving an image by {plural(shift, 'pixel')} (around its edge) just moves the output of "
        f"{pool}x{pool} max pooling at stride {pool}, by whole places.",
        shift % pool == 0, same, "On a random image of 24x24 "
        f"{'some move of the old output is the new one' if same else 'no move gives the new one'}.",
    )  # fmt: skip


def _equivariant(drawn: Random) -> Claim:
    kind, shift = drawn.choice(("convolution", "fully connected layer")), drawn.randint(1, 3)
    image = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    layer: nn.Module = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular").double()
    if kind != "convolution":
        layer = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Unflatten(1, (1, 6, 6))).double()
    gap = _moved_gap(layer, image, shift)
    return Claim(
        f"Moving the input of a {kind} with random weights by {plural(shift, 'pixel')} (around the "
        "edge) moves its output by as much and changes nothing else.",
        kind == "convolution", gap < 1e-9, f"On a random 6x6 image the two differ by up to "
        f"{gap:.2g}.",
    )  # fmt: skip


@torch.no_grad()
def _moved_gap(layer: nn.Module, image: Tensor, shift: int) -> float:
    moved = layer(torch.roll(image, shift, dims=3))
    return float((moved - torch.roll(layer(image), shift, dims=3)).abs().max())


FACTS = (
    Fact(1, "three-by-three", _stacked), Fact(3, "receptive-field", _strided),
    Fact(2, "receptive-field", _dilated), Fact(2, "three-by-three", _small_filters),
    Fact(2, "fc-as-convolution", _fully_connected), Fact(3, "fc-as-convolution", _slides),
    Fact(1, "fc-as-convolution", _shared), Fact(1, "receptive-field", _keeps_size),
    Fact(1, "max-pooling", _pool_gradient), Fact(1, "max-pooling", _pool_parameters),
    Fact(3, "max-pooling", _pool_shift), Fact(3, "receptive-field", _equivariant),
)  # fmt: skip
