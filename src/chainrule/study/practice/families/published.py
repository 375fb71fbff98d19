"""Published figures that are easily got wrong: sums of activations, and the order of updates."""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random

import torch
from torch import Tensor, nn

from chainrule.network.notation import parse
from chainrule.network.shapes import shapes
from chainrule.network.spec import Conv, FullyConnected, Layer, Pool
from chainrule.network.zoo import zoo_entry
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drafting import shown
from chainrule.study.practice.question import LEVELS, Draft, Family, Mistake

_NETS = ("vgg11", "vgg13", "vgg16", "vgg19")
_SIDES = (64, 96, 128, 160, 192, 224)
_SLIM = 16


def _vgg_activations(drawn: Random, level: int) -> Draft:
    """A course's table gives 24M numbers for VGG-16; its own rows add up to 15.2M."""
    name, side = drawn.choice(_NETS), drawn.choice(_SIDES)
    rows = _rows(name, side)
    sizes = [math.prod(shape) for _, shape in rows]
    convolutions = sum(math.prod(shape) for layer, shape in rows if isinstance(layer, Conv))
    image = 3 * side * side
    total = image + sum(sizes)
    unit, factor = ("million", 1e-6) if level < 3 else ("MB", 4e-6)
    asked = "How many million numbers" if level < 3 else "How many megabytes of float32"
    listed = f" Its layers: `{zoo_entry(name).text}`." if level == 1 else ""
    return Draft(
        text=f"{name.upper()} looks at one image of {side}x{side}x3. {asked} are in its activation "
        "volumes, if the image and the output of every convolution, pooling and fully connected "
        f"layer are counted once?{listed.replace('224x224', f'{side}x{side}')}",
        conventions=("ReLUs and dropout work in place and are not counted; nor are parameters",
                     *(("1 MB = 10^6 bytes",) if level == 3 else ())),
        expected=Number(total * factor, unit),
        proved=_measured(name, side) * factor,
        way="adding up the tensors of a forward pass with a sixteenth of the channels",
        mistakes=tuple(
            Mistake(f"{wrong * factor:.6g}", why)
            for wrong, why in (
                (total + convolutions, "counts the convolutions again for their ReLUs"),
                (image + convolutions, "forgets pooling and fully connected layers"),
                (2 * total, "counts the gradients too, which training keeps beside them"),
                (image + sizes[0], "counts the image and the first layer alone"),
            )
        ),
        solution=(
            f"the image: {image:,}",
            *(f"{_volume(shape)}: {size:,}"
              for (_, shape), size in zip(rows, sizes, strict=True)),
            f"together {total:,} numbers" + ("" if level < 3 else " of 4 bytes"),
            f"{total * factor:.4g} {unit}",
            "the table of a well-known course says 24M for VGG-16 at 224x224; its own rows add up "
            "to 15.2M",
        ),
    )  # fmt: skip


@lru_cache(maxsize=64)
def _rows(name: str, side: int) -> tuple[tuple[Layer, tuple[int, ...]], ...]:
    """The layers that count, with their volumes (C, H, W)."""
    text = zoo_entry(name).text.replace("224x224", f"{side}x{side}")
    kept = (Conv, Pool, FullyConnected)
    return tuple(
        (item.layer, item.output) for item in shapes(parse(text)) if isinstance(item.layer, kept)
    )


def _volume(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, (*shape[1:], shape[0])))


@lru_cache(maxsize=64)
def _measured(name: str, side: int) -> int:
    """Numbers in the tensors of a real forward pass of a slim twin.

    With a sixteenth of the channels every volume of the convolutions has exactly a sixteenth of
    the numbers, and a picture of 224x224 takes hundredths of a second.
    """
    values, total = torch.zeros(1, 3, side, side), 3 * side * side
    with torch.no_grad():
        for layer, _ in _rows(name, side):
            values = _applied(layer, values)
            total += values.numel() * (_SLIM if values.dim() == 4 else 1)
    return total


def _applied(layer: Layer, values: Tensor) -> Tensor:
    """PyTorch's own layer on the values; weights are not drawn, since only sizes matter."""
    if isinstance(layer, Pool):
        return nn.functional.max_pool2d(values, 2)
    if isinstance(layer, Conv):
        return nn.functional.conv2d(
            values, torch.zeros(layer.filters // _SLIM, values.shape[1], 3, 3), padding=1
        )
    assert isinstance(layer, FullyConnected)
    flat = values.flatten(1)
    return flat @ torch.zeros(flat.shape[1], layer.units)


def _order_of_updates(drawn: Random, level: int) -> Draft:
    """Gradients belong to the weights of the forward pass, also where some are updated first."""
    x, w, v, rate, target = _numbers(drawn)
    hidden, output, upstream = _chain(x, w, v, target, level)
    right = w - rate * upstream * v * _slope(hidden, level) * x
    updated = v - rate * upstream * hidden
    wrong = w - rate * upstream * updated * _slope(hidden, level) * x
    inner = {1: "", 2: "1{w*x > 0} * ", 3: "(1 - h^2) * "}[level]
    unit = "h = w*x" if level == 1 else "h = relu(w*x)" if level == 2 else "h = tanh(w*x)"
    return Draft(
        text=f"A net computes `{unit}`, `y = v*h` and `L = (y - t)^2 / 2` at `x = {shown(x)}`, "
        f"`w = {shown(w)}`, `v = {shown(v)}`, `t = {shown(target)}`. A program takes one step of "
        f"SGD with rate {shown(rate)} for `v` first, then for `w`. What must `w` be afterwards, if "
        "the step is to follow the gradient of L?",
        conventions=("the gradient is that at the weights of the forward pass",
                     "SGD: `w = w - rate * dL/dw`"),
        expected=Number(right),
        proved=_by_autograd(x, w, v, target, rate, level),
        way="autograd in float64",
        mistakes=(
            Mistake(repr(wrong), "goes back through the `v` that is updated already"),
            Mistake(repr(w - rate * upstream * _slope(hidden, level) * x), "forgets the factor v"),
            Mistake(repr(w + rate * upstream * v * _slope(hidden, level) * x), "climbs instead"),
            Mistake(repr(w - rate * upstream * v * _slope(hidden, level)), "forgets the factor x"),
        ),
        solution=(
            f"h = {shown(hidden)}, y = {shown(output)}, dL/dy = y - t = {shown(upstream)}",
            f"dL/dw = dL/dy * v * {inner}x, with the old v = {shown(v)}",
            f"the new v would be {shown(updated)}, but the loss was not computed with it",
            f"w = {shown(right)}",
        ),
    )  # fmt: skip


def _numbers(drawn: Random) -> tuple[float, float, float, float, float]:
    """Input, weights, rate and target, with which the gradient is far from 0."""
    while True:
        x, w, v = (drawn.choice((0.5, 1.5, 2.0, 2.5)) for _ in range(3))
        target, rate = drawn.choice((-2.0, -1.0, 0.0, 5.0, 8.0)), drawn.choice((0.1, 0.2, 0.5))
        step = rate * (v * math.tanh(w * x) - target) * v * (1 - math.tanh(w * x) ** 2) * x
        if abs(v * w * x - target) > 0.5 and x * w < 1.5 and target != 0 and abs(step) > 0.1 * w:
            return x, w, v, rate, target


def _chain(x: float, w: float, v: float, target: float, level: int) -> tuple[float, float, float]:
    hidden = math.tanh(w * x) if level == 3 else w * x
    return hidden, v * hidden, v * hidden - target


def _slope(hidden: float, level: int) -> float:
    """dh/d(wx): 1 on this side of the ReLU, or that of tanh."""
    return 1 - hidden**2 if level == 3 else 1.0


def _by_autograd(x: float, w: float, v: float, target: float, rate: float, level: int) -> float:
    weights = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (w, v)]
    inner = weights[0] * x
    hidden = {1: inner, 2: inner.relu(), 3: inner.tanh()}[level]
    loss = (weights[1] * hidden - target) ** 2 / 2
    (gradient,) = torch.autograd.grad(loss, weights[:1])
    return w - rate * float(gradient)


FAMILIES = (
    Family("vgg-activations", "memory-and-macs", "numbers in the activations of VGG", (1, 2, 3),
           _vgg_activations),
    Family("order-of-updates", "backpropagation", "gradient by an earlier weight", LEVELS,
           _order_of_updates),
)  # fmt: skip
