"""Receptive fields: the recursion n = k + s (m - 1), proved by what has a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count, product
from random import Random

from torch import nn

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, plural
from chainrule.study.practice.families.windows import (
    STRIDE_ONE,
    Window,
    field,
    field_steps,
    listed,
    support,
)
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

_TOPIC, _SHOWN_BY, _SMALL = "receptive-fields", "receptive-field", "three-by-three"
_WAY = "the extent of the input gradient of one unit in PyTorch"
_EXTENT = "the field reaches from the first pixel seen to the last, those skipped between included"
_POOL = Window(2, 2, pools=True)
_Change = Callable[[Window], Window]


def _stack_field(drawn: Random, level: int) -> Draft:
    """Level 1 has stride 1; level 2 a pool and strides; level 3 dilation and a pool of 3x3 too."""
    stack = _stack(drawn, level)
    right = field(stack)
    kernels = [window.kernel for window in stack]
    return Draft(
        text=f"One unit at the end of `{listed(stack)}`: how many pixels wide is the part of the "
        "image that it sees?",
        conventions=(STRIDE_ONE, _EXTENT, "zeros of padding do not matter"),
        expected=Number(right, "pixels"),
        proved=support(stack),
        way=_WAY,
        mistakes=mistaken(
            *_forgotten(stack),
            (sum(kernels), "adds up the sizes, as if windows of neighbours did not overlap"),
            (math.prod(kernels), "multiplies the sizes"),
            (stack[-1].span, "looks at the last layer alone"),
            (field(stack[::-1]), "runs the recursion from the wrong end"),
            (right**2, "counts the pixels of the square instead of its width"),
        ),
        solution=(
            "n = k + s (m - 1), from the last layer, where m = 1, back to the image",
            *field_steps(stack),
            f"the unit sees {right} pixels",
        ),
        experiment=_SHOWN_BY,
    )


def _stack(drawn: Random, level: int) -> list[Window]:
    sizes = [drawn.choice((3, 5, 7)) for _ in range(3)]
    first, second, third = (Window(size) for size in sizes)
    if level == 1:
        return [first, second, third][: drawn.choice((2, 3))]
    if level == 2:
        begin = drawn.choice(([first, _POOL], [replace(first, stride=drawn.choice((2, 3)))]))
        return [*begin, second, *drawn.choice(([], [_POOL], [third]))]
    pool = drawn.choice((_POOL, Window(3, 2, pools=True)))
    dilated = replace(second, dilation=drawn.choice((2, 3, 4)))
    strided = replace(first, stride=drawn.choice((1, 2)))
    return [strided, pool, dilated, *drawn.choice(([_POOL, third], [third], [pool]))]


def _forgotten(stack: Sequence[Window]) -> list[tuple[int, str]]:
    """What comes out without the strides, or without the dilation."""
    changes: list[tuple[_Change, str]] = [
        (lambda window: replace(window, stride=1), "forgets the strides"),
        (lambda window: replace(window, dilation=1), "forgets the dilation"),
    ]
    return [(field([change(window) for window in stack]), why) for change, why in changes]


def _layers_to_see(drawn: Random, level: int) -> Draft:
    """Level 1 has equal layers; level 2 a stride before them; level 3 dilation or pools."""
    kernel = drawn.choice((3, 5, 7)) if level < 3 else 3
    wanted = drawn.randint(12, 40) if level == 1 else drawn.randint(30, 99)
    said, layers = _repeated(drawn, level, kernel)
    number = next(n for n in count(1) if field(layers(n)) >= wanted)
    sees, less = field(layers(number)), field(layers(number - 1))
    return Draft(
        text=f"{said} How many {'pairs' if 'pairs' in said else 'of these'} does it take until a "
        f"unit at the end sees at least {wanted} pixels of the image along each axis?",
        conventions=(STRIDE_ONE, "the smallest whole number"),
        expected=Number(number),
        proved=next(n for n in count(1) if support(layers(n)) >= wanted),
        way="the input gradient of networks with 1, 2, 3, ... of them",
        mistakes=mistaken(
            (number - 1, f"stops too early: a unit sees {plural(less, 'pixel')} then"),
            (number + 1, "has one too many, as if the input were a layer"),
            (-(-wanted // kernel), "divides by the size of the filter, as if windows did not "
                                   "overlap"),
            (-(-(wanted - 1) // (kernel // 2)), "lets a layer add pixels on one side only"),
            (-(-(wanted - 1) // (kernel - 1)), "forgets the layer before, strides and dilation"),
            (wanted, "lets a layer add one pixel"),
        ),
        solution=(
            "a layer adds k - 1 times the jump (and the dilation): the jump is the product of the "
            "strides before it",
            f"{number - 1} of them: {plural(less, 'pixel')}, which is less than {wanted}",
            f"{number} of them: {sees} pixels, enough; the answer is {number}",
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


def _repeated(drawn: Random, level: int, kernel: int) -> tuple[str, Callable[[int], list[Window]]]:
    """What is repeated, in words and as so many layers."""
    same = Window(kernel)
    if level == 1:
        return f"Layers `{same.text}` follow each other.", lambda n: [same] * n
    if level == 2:
        first = Window(drawn.choice((5, 7, 9)), drawn.choice((2, 3)))
        said = f"Behind one layer `{first.text}` follow layers `{same.text}`."
        return said, lambda n: [first, *[same] * n]
    if drawn.random() < 0.5:
        first = Window(drawn.choice((3, 5, 7)))
        said = f"Behind one layer `{first.text}` follow pairs `{_POOL.text} -> {same.text}`."
        return said, lambda n: [first, *[_POOL, same] * n]
    first = Window(drawn.choice((5, 7, 9)))
    said = (
        f"Behind one layer `{first.text}` follow layers `{same.text}`, the first with dilation 1, "
        "each next one with twice the dilation of the one before."
    )
    return said, lambda n: [first, *(replace(same, dilation=2**i) for i in range(n))]


def _large_or_small(drawn: Random, level: int) -> Draft:
    """Level 1 counts the stack; level 2 compares with one filter; level 3 squeezes channels."""
    if level == 3:
        return _bottleneck(drawn)
    kernel, channels = drawn.choice((3, 3, 5)), drawn.choice((4, 8, 10, 16, 20, 32, 64))
    depth = drawn.choice((2, 3, 4, 5) if kernel == 3 else (2, 3))
    large = field([Window(kernel)] * depth)
    stack, single = depth * kernel**2 * channels**2, large**2 * channels**2
    right = stack if level == 1 else single - stack
    small = f"{depth} layers `conv {kernel}x{kernel}`"
    asked = (
        f"How many weights does a stack of {small} have that sees as much as one {large}x{large}?"
        if level == 1
        else f"A stack of {small} is to be replaced by a single convolution whose units see just "
        "as much. How many more weights does the single one have than the stack?"
    )
    modules = [nn.Conv2d(channels, channels, kernel, bias=False) for _ in range(depth)]
    size = support([Window(kernel)] * depth)
    one = nn.Conv2d(channels, channels, size, bias=False, device="meta")
    proved = _weights(modules) if level == 1 else _weights([one]) - _weights(modules)
    return Draft(
        text=f"Every layer has {channels} channels in and {channels} out, and stride 1. {asked}",
        conventions=("biases are not counted",),
        expected=Number(right, "weights"),
        proved=proved,
        way="counting the weights of PyTorch's layers",
        mistakes=mistaken(
            (right // channels, "forgets that every filter spans all channels"),
            (single, f"counts a filter of {large}x{large}") if level == 1
            else (stack, "counts the stack instead of the difference"),
            (right // channels**2, "forgets the channels"),
            (stack // depth, "counts one layer of the stack"),
            ((depth * kernel) ** 2 * channels**2 - (0 if level == 1 else stack),
             "adds up the sizes of the filters to that of the large one"),
        ),
        solution=(
            f"{depth} layers of {kernel}x{kernel} see 1 + {depth} x {kernel - 1} = {large} pixels",
            f"the stack: {depth} x {kernel} x {kernel} x {channels} x {channels} = {stack:,}",
            *([f"the single one: {large} x {large} x {channels} x {channels} = {single:,}",
               f"{single:,} - {stack:,} = {right:,}"] if level > 1 else []),
        ),
        experiment=_SMALL,
    )  # fmt: skip


def _bottleneck(drawn: Random) -> Draft:
    kernel, inner = drawn.choice((3, 5)), drawn.choice((4, 5, 6, 8, 10, 12, 16))
    channels = inner * drawn.choice((2, 3, 4))
    parts = (inner * (channels + 1), inner * (kernel**2 * inner + 1), channels * (inner + 1))
    plain = channels * (kernel**2 * channels + 1)
    right = plain - sum(parts)
    modules = [nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, inner, kernel),
               nn.Conv2d(inner, channels, 1)]  # fmt: skip
    whole = nn.Conv2d(channels, channels, kernel)
    biases = channels - (2 * inner + channels)
    return Draft(
        text=f"A layer `conv {kernel}x{kernel}` with {channels} channels in and out is replaced "
        f"by `conv 1x1` to {inner} channels, `conv {kernel}x{kernel}` from {inner} to {inner} and "
        f"`conv 1x1` back to {channels}: the same receptive field. How many parameters does that "
        "save?",
        conventions=("weights and biases are counted, one bias per filter",),
        expected=Number(right, "parameters"),
        proved=_weights([whole]) - _weights(modules),
        way="counting the parameters of PyTorch's layers",
        mistakes=mistaken(
            (right - biases, "forgets the biases"),
            (sum(parts), "counts what is left, not what is saved"),
            (plain - parts[1], "forgets the two layers of 1x1"),
            (plain - parts[0] - parts[1], "forgets the last layer"),
            (channels * (kernel**2 + 1) - inner * (kernel**2 + 3) - channels,
             "forgets that every filter spans all channels"),
        ),
        solution=(
            f"before: {channels} x ({kernel} x {kernel} x {channels} + 1) = {plain:,}",
            f"after: {inner} x ({channels} + 1) + {inner} x ({kernel} x {kernel} x {inner} + 1) + "
            f"{channels} x ({inner} + 1) = {sum(parts):,}",
            f"{plain:,} - {sum(parts):,} = {right:,}",
        ),
        experiment=_SMALL,
    )  # fmt: skip


def _weights(modules: Sequence[nn.Module]) -> int:
    return sum(weight.numel() for module in modules for weight in module.parameters())


def _equal_fields(drawn: Random, level: int) -> Draft:
    """Level 1 has stacks at stride 1; level 2 strides, pools and dilation; all right ones count."""
    by_field = _stacks_by_field(level)
    wanted = drawn.choice([n for n in by_field if n >= 7 and len(by_field[n]) >= 4])
    model, *equal = drawn.sample(by_field[wanted], drawn.choice((2, 3, 4)))
    near = [stack for n in by_field if 0 < abs(n - wanted) <= 4 for stack in by_field[n]]
    chosen = [*equal, *drawn.sample(near, 5 - len(equal))]
    return Draft(
        text="Which of these stacks show a unit at their end as many pixels of the image along "
        f"each axis as `{listed(model)}` does? Give all of them.",
        conventions=(STRIDE_ONE, _EXTENT),
        options=tuple(_judged(stack, wanted) for stack in chosen),
        proved=tuple(support(stack) == support(model) for stack in chosen),
        way=_WAY,
        several=True,
        solution=(
            "n = k + s (m - 1), from the last layer, where m = 1, back to the image",
            f"`{listed(model)}` sees {plural(wanted, 'pixel')}",
            *(f"`{listed(stack)}` sees {plural(field(stack), 'pixel')}" for stack in chosen),
        ),
        experiment=_SHOWN_BY,
    )


def _judged(stack: Sequence[Window], wanted: int) -> Option:
    sees = field(stack)
    steps = "; ".join(field_steps(stack))
    right = sees == wanted
    return Option(
        f"`{listed(stack)}`",
        right,
        f"`{listed(stack)}` sees {sees} pixels{'' if right else f', not {wanted}'} ({steps}).",
    )


@lru_cache(maxsize=2)
def _stacks_by_field(level: int) -> dict[int, list[tuple[Window, ...]]]:
    """Stacks of one to four layers by what they see."""
    plain = tuple(Window(kernel) for kernel in (3, 5, 7, 9, 11))
    stacks: list[tuple[Window, ...]]
    if level == 1:
        stacks = [stack for depth in (1, 2, 3) for stack in product(plain, repeat=depth)]
        stacks += [(plain[0],) * depth for depth in (4, 5, 6, 7)]
    else:
        first = [
            (plain[0], _POOL),
            (plain[1], _POOL),
            *((replace(w, stride=2),) for w in plain[:3]),
        ]
        then = [*plain[:2], replace(plain[0], dilation=2), replace(plain[0], dilation=3)]
        tails: list[tuple[Window, ...]] = [(), (plain[0],), (plain[1],), (_POOL,)]
        stacks = [(*a, b, *c) for a in first for b in then for c in tails]
        stacks += [(a, b) for a in plain[:2] for b in then[2:]]
    found: dict[int, list[tuple[Window, ...]]] = {}
    for stack in stacks:
        found.setdefault(field(stack), []).append(stack)
    return found


FAMILIES = (
    Family("stack-field", _TOPIC, "receptive field of a stack", LEVELS, _stack_field),
    Family("layers-to-see", _TOPIC, "layers needed to see so many pixels", LEVELS, _layers_to_see),
    Family("large-or-small", _TOPIC, "one large filter or a stack of small ones", LEVELS,
           _large_or_small),
    Family("equal-fields", _TOPIC, "stacks that see equally much", (1, 2), _equal_fields),
)  # fmt: skip
