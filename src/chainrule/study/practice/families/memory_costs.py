"""Memory: bytes of activations, and what training keeps for each parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken
from chainrule.study.practice.families.layers import Convolution
from chainrule.study.practice.families.windows import FLOORS
from chainrule.study.practice.question import Draft

_FLOAT = "a number in float32 takes 4 bytes"


def activation_bytes(drawn: Random, level: int) -> Draft:
    """Level 1: a volume; level 2: behind a convolution; level 3: all of a network."""
    if level == 3:
        return _network_bytes(drawn)
    batch = drawn.choice((8, 10, 16, 20, 32, 50, 64) if level == 1 else (2, 4, 5, 8, 10, 16))
    layer = Convolution(drawn.choice((8, 12, 14, 16, 20)), 3, drawn.choice((3, 5)),
                   drawn.choice((8, 10, 16, 20, 32)), drawn.choice((1, 2)), same=False)  # fmt: skip
    side, f = layer.side if level == 1 else layer.out, layer.filters
    numbers = batch * side**2 * f
    text = f"activation volumes of {side}x{side}x{f}"
    if level == 2:
        text = f"outputs of a convolution ({layer.text}) on images of {layer.side}x{layer.side}x3"
    with torch.no_grad():
        found = (
            torch.empty(batch, f, side, side)
            if level == 1
            else layer.module()(torch.zeros(batch, 3, layer.side, layer.side))
        )
    return Draft(
        text=f"How many bytes do the {text} take in float32, for a minibatch of {batch}?",
        conventions=(_FLOAT, *((FLOORS,) if level == 2 and layer.stride > 1 else ())),
        expected=Number(4 * numbers, "bytes"),
        proved=found.nbytes,
        way="the size in bytes of a real tensor",
        mistakes=mistaken(
            (numbers, "counts the numbers, of which each takes 4 bytes"),
            (4 * numbers // batch, "counts one example of the minibatch"),
            (8 * numbers, "has 8 bytes for a number, which is float64"),
            (32 * numbers, "counts bits"),
            (4 * numbers // f, "counts one channel"),
            *([(4 * batch * layer.side**2 * f, "keeps the width of the images"),
               (4 * batch * layer.side**2 * 3, "counts the images")] if level == 2 else []),
        ),
        solution=(
            *([f"the output is {_places(layer)} + 1 = {side} pixels wide"] if level == 2 else []),
            f"{batch} x {side} x {side} x {f} = {numbers:,} numbers",
            f"4 bytes each: {4 * numbers:,} bytes",
        ),
    )  # fmt: skip


def _places(layer: Convolution) -> str:
    above = f"({layer.side} - {layer.kernel})"
    whole = (layer.side - layer.kernel) % layer.stride == 0
    return f"{above} / {layer.stride}" if whole else f"floor({above} / {layer.stride})"


def _network_bytes(drawn: Random) -> Draft:
    batch, side = drawn.choice((2, 4, 5, 8, 10)), drawn.choice((8, 12, 16))
    channels, filters, units = (
        drawn.choice((1, 3)),
        drawn.choice((4, 6, 8, 10)),
        drawn.choice((5, 10)),
    )
    volume, pooled = side**2 * filters, side**2 * filters // 4
    parts = (side**2 * channels, volume, volume, pooled, units)
    right = 4 * batch * sum(parts)
    layer = Convolution(side, channels, 3, filters)
    modules = [layer.module(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(pooled, units)]
    names = ("images", "convolution", "ReLU", "pool", "scores")
    return Draft(
        text=f"A minibatch of {batch} images of {side}x{side}x{channels} passes a convolution "
        f"({layer.text}), a ReLU, a pool of 2x2 at stride 2 and a fully connected layer to {units} "
        "scores. How many bytes do the images and all four outputs take in float32?",
        conventions=(_FLOAT, FLOORS, "the ReLU writes its output to new memory",
                     "the outputs alone: no indices of the pool, no parameters"),
        expected=Number(right, "bytes"),
        proved=_kept_bytes(modules, torch.zeros(batch, channels, side, side)),
        way="adding up the real tensors of a forward pass",
        mistakes=mistaken(
            (right // 4, "counts the numbers, of which each takes 4 bytes"),
            (right // batch, "counts one example of the minibatch"),
            (right - 4 * batch * volume, "forgets the output of the ReLU"),
            (right - 4 * batch * parts[0], "forgets the images"),
            (right + 4 * batch * pooled, "divides by 2 in the pool, but both sides are halved"),
        ),
        solution=(
            "numbers of one example: "
            + ", ".join(f"{name} {size:,}" for name, size in zip(names, parts, strict=True)),
            f"together {sum(parts):,}; times {batch} examples times 4 bytes = {right:,} bytes",
        ),
    )  # fmt: skip


def _kept_bytes(modules: Sequence[nn.Module], values: Tensor) -> int:
    """Bytes of the input and of every tensor with storage of its own that a forward pass makes."""
    kept = {values.untyped_storage().data_ptr(): values}
    with torch.no_grad():
        for module in modules:
            values = module(values)
            kept.setdefault(values.untyped_storage().data_ptr(), values)
    return sum(tensor.nbytes for tensor in kept.values())


@dataclass(frozen=True)
class _Rule:
    """An update rule and how many numbers it keeps for each parameter."""

    name: str
    state: int
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]

    @property
    def kept(self) -> int:
        """Numbers for each parameter: itself, its gradient and the state."""
        return 2 + self.state


_RULES = (
    _Rule("SGD without momentum", 0, lambda given: torch.optim.SGD(given, lr=0.1)),
    _Rule("SGD with momentum", 1, lambda given: torch.optim.SGD(given, lr=0.1, momentum=0.9)),
    _Rule("Adam", 2, lambda given: torch.optim.Adam(given)),
)


def training_memory(drawn: Random, level: int) -> Draft:
    """Level 1: so many parameters; level 2: a layer; level 3: two rules compared."""
    module, said, counted = _trained(drawn, level)
    number = sum(weight.numel() for weight in module.parameters())
    if level == 3:
        less, more = sorted(drawn.sample(_RULES, 2), key=lambda one: one.state)
        right = 4 * number * (more.state - less.state)
        asked = f"how many more bytes does training with {more.name} keep than with {less.name}"
        proved = _measured(module, more) - _measured(module, less)
        total = f"{more.name} keeps {more.kept} numbers a parameter, {less.name} {less.kept}"
        wrong = 4 * number * more.kept, "counts all memory of the larger rule"
    else:
        more = drawn.choice(_RULES)
        right, proved = 4 * number * more.kept, _measured(module, more)
        asked = "how many bytes do parameters, gradients and the state of the update rule take in "
        asked += f"all, for {more.name}"
        total = f"{more.name} keeps {more.kept} numbers a parameter: itself, its gradient" + (
            "", " and the velocity", " and two moments")[more.state]  # fmt: skip
        wrong = 4 * number, "counts the parameters alone"
    return Draft(
        text=f"{said} In float32, {asked}?",
        conventions=(_FLOAT, "no activations; the counter of steps is not counted"),
        expected=Number(right, "bytes"),
        proved=proved,
        way="measuring the tensors that torch.optim really keeps after a step",
        mistakes=mistaken(
            wrong,
            *([(right - 4 * number, "forgets the gradients")] if level < 3 else []),
            (right + 4 * number, "keeps one number too many for each parameter"),
            (right // 4, "counts the numbers, of which each takes 4 bytes"),
            (2 * right, "has 8 bytes for a number, which is float64"),
            *(((right // number) * weights, "forgets the biases") for weights in counted),
        ),
        solution=(
            f"there are {number:,} parameters",
            total,
            f"{right // (4 * number)} x {number:,} x 4 bytes = {right:,} bytes",
        ),
    )


def _trained(drawn: Random, level: int) -> tuple[nn.Module, str, tuple[int, ...]]:
    """A module, what is said of it, and its parameters without the biases."""
    if level == 1:
        number = 100 * drawn.randint(5, 200)
        return nn.Linear(number, 1, bias=False), f"A network has {number:,} parameters.", ()
    inputs, units = 10 * drawn.randint(2, 20), 10 * drawn.randint(1, 10)
    if level == 2:
        said = f"A fully connected layer has {inputs} inputs, {units} outputs and biases."
        return nn.Linear(inputs, units), said, (inputs * units,)
    filters = drawn.choice((8, 10, 16, 20))
    module = nn.Sequential(nn.Conv2d(3, filters, 3), nn.Flatten(), nn.Linear(inputs, units))
    said = (
        f"A network has a convolution of {filters} filters of 3x3 over 3 channels and a fully "
        f"connected layer from {inputs} to {units}, both with biases."
    )
    return module, said, (27 * filters + inputs * units,)


def _measured(module: nn.Module, rule: _Rule) -> int:
    """Bytes of parameters, gradients and state after a step; no scalars."""
    given = list(module.parameters())
    optimizer = rule.make(given)
    for weight in given:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = (value for kept in optimizer.state.values() for value in kept.values())
    tensors = [item for item in state if isinstance(item, Tensor) and item.ndim > 0]
    return sum(
        item.nbytes
        for item in (*given, *tensors, *(weight.grad for weight in given))
        if item is not None
    )
