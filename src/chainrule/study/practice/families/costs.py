"""Costs: MACs and FLOPs of layers; what is kept in memory is asked for in memory_costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import torch
from torch.nn import functional

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families import memory_costs
from chainrule.study.practice.families.drawing import mistaken, shown
from chainrule.study.practice.families.layers import Convolution
from chainrule.study.practice.families.windows import FLOORS
from chainrule.study.practice.question import LEVELS, Draft, Family

_TOPIC = "memory-and-macs"
_COUNTER = "adding up a convolution of ones with ones, which counts its products"
_ONE_MAC = "1 MAC is a multiplication with its addition, 2 FLOPs"
_NO_BIASES = "biases are not counted"


def _products(layer: Convolution) -> int:
    """Products of a forward pass: where all that is multiplied is 1, the outputs count them."""
    module = layer.module()
    values = functional.pad(torch.ones(1, layer.channels, layer.side, layer.side),
                            (layer.padding,) * 4, value=1.0)  # fmt: skip
    with torch.no_grad():
        weight = torch.ones_like(module.weight)
        counted = functional.conv2d(values, weight, stride=layer.stride, groups=layer.groups)
    return int(counted.double().sum())


def _layer(drawn: Random, level: int) -> Convolution:
    kernel, side = drawn.choice((3, 5)), drawn.choice((8, 10, 12, 16, 20, 32))
    channels, filters = drawn.choice((3, 4, 8, 16)), drawn.choice((5, 10, 12, 20, 32))
    if level == 1:
        return Convolution(side, channels, kernel, filters)
    if level == 2:
        return Convolution(side, channels, kernel, filters, drawn.choice((1, 2)), same=False)
    groups = drawn.choice((2, 4))
    return Convolution(side, 4 * channels, kernel, 4 * filters, 2, drawn.random() < 0.5, groups)


def _layer_macs(drawn: Random, level: int) -> Draft:
    """Level 1: MACs with the size kept; level 2: FLOPs; level 3: groups and a minibatch."""
    layer, batch = _layer(drawn, level), 1 if level < 3 else drawn.choice((2, 8, 10, 16))
    each = 1 if level == 1 else 2
    right, unit = each * batch * layer.macs, "MACs" if level == 1 else "FLOPs"
    k, c, f, out, side = layer.kernel, layer.channels, layer.filters, layer.out, layer.side
    whose = "one example" if batch == 1 else f"a minibatch of {batch} examples"
    inner = f"{k} x {k} x {c}" + (f" / {layer.groups}" if layer.groups > 1 else "")
    return Draft(
        text=f"A convolution ({layer.text}) works on an activation volume of {side}x{side}x{c}. "
        f"How many {unit} does its forward pass take for {whose}?",
        conventions=(_ONE_MAC, _NO_BIASES, *((FLOORS,) if layer.stride > 1 else ())),
        expected=Number(right, unit),
        proved=each * batch * _products(layer),
        way=_COUNTER,
        mistakes=mistaken(
            *([(right // 2, "counts MACs, of which each is 2 FLOPs")] if each == 2 else []),
            *([(right // batch, "forgets the minibatch")] if batch > 1 else []),
            *([(right * layer.groups, "lets every filter see all channels in spite of the groups")]
              if layer.groups > 1 else []),
            (right // c, "forgets that filters span the input channels"),
            (right // out**2, "counts the weights, not their use at every place"),
            (right // f, "counts one filter"),
            (right // k, "takes the width of a filter for its area"),
            (right // out**2 * side**2, "takes the places of the input for those of the output"),
            *([(2 * right, "counts FLOPs, of which a MAC has 2")] if each == 1 else []),
        ),
        solution=(
            f"the output is {out} pixels wide: {out} x {out} x {f} numbers for one example",
            f"each takes {inner} = {layer.macs // (out**2 * f)} MACs",
            f"{out} x {out} x {f} x {layer.macs // (out**2 * f)} = {layer.macs:,} MACs"
            + (" for one example" if batch > 1 else ""),
            *([f"2{f' x {batch}' if batch > 1 else ''} x {layer.macs:,} = {right:,} FLOPs"]
              if level > 1 else []),
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class _Change:
    """What is changed, and the mistake that gives the wrong power of the ratio."""

    text: str
    apply: Callable[[Convolution], Convolution]
    why: str


_CHANGES = (
    _Change("images of twice the width and height", lambda one: replace(one, side=2 * one.side),
            "forgets that width and height both double"),
    _Change("twice as many filters", lambda one: replace(one, filters=2 * one.filters),
            "counts the filters twice"),
    _Change("twice as many input channels", lambda one: replace(one, channels=2 * one.channels),
            "counts the channels twice"),
    _Change("stride 2 instead of 1", lambda one: replace(one, stride=2),
            "forgets that the stride acts on width and height"),
    _Change("filters of {large}x{large} instead of {small}x{small}",
            lambda one: replace(one, kernel=2 * one.kernel - 1),
            "takes the width of a filter for its area"),
)  # fmt: skip


def _macs_ratio(drawn: Random, level: int) -> Draft:
    """Level 1 changes one thing, level 2 two; level 3 widens a network."""
    if level == 3:
        return _widened(drawn)
    layer = replace(_layer(drawn, 1), side=drawn.choice((8, 12, 16, 20)))
    changes = drawn.sample(_CHANGES, level)
    changed = layer
    for change in changes:
        changed = change.apply(changed)
    ratio = changed.macs / layer.macs
    first = changes[0].apply(layer).macs / layer.macs
    small, large = layer.kernel, 2 * layer.kernel - 1
    names = [change.text.format(small=small, large=large) for change in changes]
    single = changes[0].why if level == 1 else "takes the root, as if areas were lengths"
    return Draft(
        text=f"A convolution ({layer.text}) works on an activation volume of {layer.side}x"
        f"{layer.side}x{layer.channels}. It is given {' and '.join(names)}, "
        "with padding (k - 1)/2 per side as before. By which factor do its MACs change?",
        conventions=("new MACs / old MACs, below 1 where they become fewer", _NO_BIASES,
                     FLOORS),
        expected=Number(ratio, "times"),
        proved=_products(changed) / _products(layer),
        way=_COUNTER,
        mistakes=mistaken(
            *([(first, f"leaves out {names[1]}"),
               (ratio / first, f"leaves out {names[0]}")] if level == 2 else []),
            (ratio**2 if ratio == 2 else math.sqrt(ratio), single),
            (1.0, "leaves them as they were"),
            (1 / ratio, "divides the old by the new"),
            (2 * ratio, "has a factor of 2 too many, such as that from MACs to FLOPs"),
        ),
        solution=(
            "MACs = width x height of the output x filters x k x k x input channels",
            f"before: {_product(layer)}",
            f"after: {_product(changed)}",
            f"{changed.macs:,} / {layer.macs:,} = {shown(ratio)}",
        ),
    )  # fmt: skip


def _product(layer: Convolution) -> str:
    factors = (layer.out, layer.out, layer.filters, layer.kernel, layer.kernel, layer.channels)
    return f"{' x '.join(map(str, factors))} = {layer.macs:,}"


def _widened(drawn: Random) -> Draft:
    """Every hidden layer twice as wide: not all MACs become four times as many."""
    channels, side, kernel = (
        drawn.choice((1, 3, 4)),
        drawn.choice((8, 16, 32)),
        drawn.choice((3, 5)),
    )
    filters, last = drawn.choice((4, 8, 10, 16)), drawn.choice((8, 10, 12, 16, 20))
    pools = drawn.random() < 0.5
    inner = side // 2 if pools else side
    narrow, wide = (
        (Convolution(side, channels, kernel, n * filters),
         Convolution(inner, n * filters, 3, n * last))
        for n in (1, 2)
    )  # fmt: skip
    macs = [sum(layer.macs for layer in layers) for layers in (narrow, wide)]
    ratio = macs[1] / macs[0]
    return Draft(
        text=f"Images of {side}x{side}x{channels} pass a convolution ({narrow[0].text})"
        f"{', a pool of 2x2 at stride 2' if pools else ''} and a convolution ({narrow[1].text}). "
        "Both are given twice as many filters. By which factor do the MACs of the network change?",
        conventions=("new MACs / old MACs", _NO_BIASES, "pools have no MACs", FLOORS),
        expected=Number(ratio, "times"),
        proved=sum(map(_products, wide)) / sum(map(_products, narrow)),
        way=_COUNTER,
        mistakes=mistaken(
            (4.0, "forgets that the images keep their channels"),
            (2.0, "forgets that the second layer has twice as many input channels too"),
            (3.0, "takes the mean of 2 and 4, though the layers differ in their MACs"),
            (8.0, "counts the middle channels of both layers apart"),
        ),
        solution=(
            f"first layer: {narrow[0].macs:,}, then twice as many: {wide[0].macs:,}",
            f"second layer, channels in and out doubled: {narrow[1].macs:,}, then {wide[1].macs:,}",
            f"{macs[1]:,} / {macs[0]:,} = {shown(ratio)}",
        ),
    )


FAMILIES = (
    Family("layer-macs", _TOPIC, "MACs or FLOPs of a convolution", LEVELS, _layer_macs),
    Family("macs-ratio", _TOPIC, "how the MACs follow a change", LEVELS, _macs_ratio),
    Family("activation-bytes", _TOPIC, "bytes of activations", LEVELS,
           memory_costs.activation_bytes),
    Family("training-memory", _TOPIC, "memory of parameters, gradients and update rule", LEVELS,
           memory_costs.training_memory),
)  # fmt: skip
