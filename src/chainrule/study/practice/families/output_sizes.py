"""Output sizes: (w + P - k) / s + 1 forwards, backwards and through several layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, plural
from chainrule.study.practice.families.windows import (
    FLOORS,
    STRIDE_ONE,
    Window,
    listed,
    ran,
    widths,
)
from chainrule.study.practice.question import LEVELS, Draft, Family

_TOPIC, _SHOWN_BY = "output-sizes", "receptive-field"
_RAN = "running PyTorch's own layer along one axis"
_RAN_ALL = "running PyTorch's own layers along one axis"
_SEARCHED = "trying one width after the other in PyTorch's own layers"
_PER_SIDE, _TOTAL = "padding is per side", "padding is the total of both sides"


def _size(drawn: Random, level: int) -> Draft:
    """Level 1 has quotients that are whole; level 2 has odd totals; level 3 dilates too."""
    per_side = drawn.random() < (0.5 if level < 3 else 0.3)
    window = _window(drawn, level, per_side)
    lost = 0 if level == 1 else drawn.randrange(window.stride)
    width = (drawn.randint(14, 30) - 1) * window.stride + window.span - window.padding + lost
    out = window.out(width)
    return Draft(
        text=f"A filter of {window.kernel}x{window.kernel}{_dilated(window)} slides over an image "
        f"that is {width} pixels wide, with stride {window.stride} and {_zeros(window, per_side)}. "
        "How many pixels wide is the output?",
        conventions=(_PER_SIDE if per_side else _TOTAL, FLOORS),
        expected=Number(out, "pixels"),
        proved=ran([window], width),
        way=_RAN,
        mistakes=mistaken(
            (replace(window, padding=0).out(width), "forgets the padding"),
            _misread(window, width, per_side),
            *([(replace(window, dilation=1).out(width), "forgets the dilation")]
              if window.dilation > 1 else []),
            (out - 1, "forgets the + 1: the first place counts too"),
            *([(out + 1, "rounds up, but no window fits there")] if lost else []),
            (replace(window, stride=1).out(width), "forgets the stride"),
            (out + 1, "counts one place too many"),
            (width, "keeps the width of the input"),
        ),
        solution=(
            *([f"with its dilation the filter spans {window.dilation} x ({window.kernel} - 1) + 1 "
               f"= {window.span} pixels"] if window.dilation > 1 else []),
            f"both sides together are padded with {plural(window.padding, 'zero')}",
            f"(w + P - k) / s + 1 = {window.written(width)}",
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


def _window(drawn: Random, level: int, per_side: bool) -> Window:
    kernel = drawn.choice((3, 5, 7))
    stride = drawn.choice((1, 2)) if level == 1 else drawn.choice((2, 3, 4, 5))
    dilation = drawn.choice((2, 3)) if level == 3 else 1
    even = per_side or level == 1
    padding = 2 * drawn.randint(1, kernel // 2) if even else drawn.randint(1, kernel - 1)
    return Window(kernel, stride, padding, dilation)


def _dilated(window: Window) -> str:
    return f" with dilation {window.dilation}" if window.dilation > 1 else ""


def _zeros(window: Window, per_side: bool) -> str:
    """The padding in words, per side or in all."""
    if per_side:
        return f"{plural(window.padding // 2, 'zero')} of padding on each side"
    return f"{plural(window.padding, 'zero')} of padding in all, both sides together"


def _misread(window: Window, width: int, per_side: bool) -> tuple[int, str]:
    if per_side:
        once = replace(window, padding=window.padding // 2)
        return once.out(width), "counts the padding once, but it stands on both sides"
    twice = replace(window, padding=2 * window.padding)
    return twice.out(width), "doubles the padding, but it is the total of both sides already"


def _keeping(drawn: Random, level: int) -> Draft:
    """Level 1 asks per side; level 2 in all, where sizes may be even; level 3 dilates."""
    per_side = level == 1 or (level == 3 and drawn.random() < 0.5)
    kernel = drawn.choice((3, 5, 7, 9, 11)) if per_side else drawn.randint(3, 8)
    dilation = drawn.choice((2, 3, 4)) if level == 3 else 1
    width = drawn.randint(50, 99) if level == 3 else drawn.randint(20, 64)
    window, parts = Window(kernel, dilation=dilation), 2 if per_side else 1
    total = dilation * (kernel - 1)
    wanted = "on each side" if per_side else "in all, both sides together,"
    return Draft(
        text=f"A filter of {kernel}x{kernel}{_dilated(window)} slides over an image that is "
        f"{width} pixels wide, with stride 1. How many zeros of padding {wanted} make the output "
        "as wide as the image?",
        conventions=(f"the answer is {'per side' if per_side else 'the total of both sides'}",),
        expected=Number(total // parts),
        proved=next(n for n in range(99)
                    if ran([replace(window, padding=n * parts)], width) == width),
        way="trying 0, 1, 2, ... zeros in PyTorch's own layer",
        mistakes=mistaken(
            (total, "is the total of both sides") if per_side
            else (total // 2, "is what one side gets"),
            *([((kernel - 1) // parts, "forgets the dilation")] if dilation > 1 else []),
            (window.span, "is as much as the filter spans, which is too much by one pixel a side"
             if per_side else "is as much as the filter spans, one too much"),
            (0, f"pads nothing, so that the output has {width - total} pixels only"),
            (total // parts + 1, "forgets that a filter of 1x1 needs no padding"),
        ),
        solution=(
            f"the filter spans {dilation} x ({kernel} - 1) + 1 = {window.span} pixels",
            f"w + P - {window.span} + 1 = w wants P = {window.span} - 1 = {total} in all",
            *([f"half of it on each side: {total // 2}"] if per_side else []),
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


def _behind(drawn: Random, level: int) -> Draft:
    """Level 1 has a convolution and a pool; level 2 two convolutions; level 3 all there is."""
    width = drawn.randint(24, 64) if level < 3 else drawn.randint(64, 128)
    stack = _stack(drawn, level)
    every = widths(stack, width)
    out = every[-1]
    jump = 1
    for window in stack:
        jump *= window.stride
    return Draft(
        text=f"How many pixels wide is the output of `{listed(stack)}` on an image that is "
        f"{width} pixels wide?",
        conventions=(_PER_SIDE, STRIDE_ONE, FLOORS),
        expected=Number(out, "pixels"),
        proved=ran(stack, width),
        way=_RAN_ALL,
        mistakes=mistaken(
            (widths([item for item in stack if not item.pools], width)[-1], "forgets the pooling"),
            (widths([replace(item, padding=0) for item in stack], width)[-1],
             "forgets the padding"),
            (widths([replace(item, padding=item.padding // 2) for item in stack], width)[-1],
             "counts the padding once, but it stands on both sides"),
            (width // jump, "divides by the strides only, as if all else kept the width"),
            (_rounded_up(stack, width), "rounds up, but no window fits there"),
            (out + 1, "counts one place too many"),
            (out - 1, "forgets the + 1 of the last layer"),
        ),
        solution=tuple(
            f"{window.text}: {window.written(before)}"
            for window, before in zip(stack, every, strict=False)
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


def _stack(drawn: Random, level: int) -> list[Window]:
    pool = Window(2, 2, pools=True)
    first, second = drawn.choice((3, 5, 7)), drawn.choice((3, 5))
    padding = 2 * drawn.randint(0, first // 2)
    if level == 1:
        return [Window(first, 1, padding), pool]
    if level == 2:
        return [Window(first, 1, padding), pool, Window(second, 1, 2 * drawn.randint(0, 1))]
    strided = Window(first, 2, padding)
    dilated = Window(3, 1, 2 * drawn.randint(0, 2), drawn.choice((2, 3)))
    return [strided, drawn.choice((pool, Window(3, 2, pools=True))), dilated, pool]


def _rounded_up(stack: Sequence[Window], width: int) -> int:
    for window in stack:
        width = -(-(width + window.padding - window.span) // window.stride) + 1
    return width


def _input(drawn: Random, level: int) -> Draft:
    """Level 1 has stride 1; from level 2 on several widths give the same output."""
    stack, largest = _unpooled(drawn, level), level > 1 and drawn.random() < 0.5
    if level == 3:
        stack = [*stack, Window(drawn.choice((2, 3)), 2, pools=True)]
    wanted = drawn.randint(6, 16)
    back = _backwards(stack, wanted, largest)
    other = _backwards(stack, wanted, not largest)[-1]
    asked = f"What is the {'largest' if largest else 'smallest'} width of the image that does it?"
    if level == 1:
        asked = "How many pixels wide must the image be?"
    first, width = stack[0], back[-1]
    found = [n for n in range(1, 2 * width) if ran(stack, n) == wanted]
    return Draft(
        text=f"`{listed(stack)}` is to give an output that is {wanted} pixels wide. {asked}",
        conventions=(_PER_SIDE, STRIDE_ONE, FLOORS),
        expected=Number(width, "pixels"),
        proved=max(found) if largest else min(found),
        way=_SEARCHED,
        mistakes=mistaken(
            (width + first.padding, "forgets the padding"),
            (width + first.padding // 2, "counts the padding once, but it stands on both sides"),
            *([(other, f"is the {'smallest' if largest else 'largest'} width that does")]
              if level > 1 else []),
            (width + 1, "has one pixel too many"),
            (width - first.span, "forgets the size of the filter"),
            (width + 2 * first.padding, "adds the padding instead of taking it off")
            if first.padding else (width - 1, "has one pixel too few"),
            (wanted * first.stride, "multiplies by the stride and forgets the rest"),
        ),
        solution=(
            "backwards through a layer: w = s (n - 1) + k - P at least, and up to s - 1 more, "
            "which rounding down swallows",
            *(_backwards_written(window, before, after)
              for window, before, after in zip(reversed(stack), back, back[1:], strict=False)),
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


def _unpooled(drawn: Random, level: int) -> list[Window]:
    kernel = drawn.choice((3, 5, 7))
    stride = 1 if level == 1 else drawn.choice((2, 3, 4) if level == 2 else (1, 2, 3))
    return [Window(kernel, stride, 2 * drawn.randint(0, kernel // 2))]


def _backwards(stack: Sequence[Window], wanted: int, largest: bool) -> list[int]:
    """Widths from the output back to the image."""
    found = [wanted]
    for window in reversed(stack):
        least = window.stride * (found[-1] - 1) + window.span - window.padding
        found.append(least + (window.stride - 1 if largest else 0))
    return found


def _backwards_written(window: Window, after: int, before: int) -> str:
    least = window.stride * (after - 1) + window.span - window.padding
    more = f" + {before - least}" if before > least else ""
    return (
        f"{window.text}: {window.stride} x ({after} - 1) + {window.span} - {window.padding}{more} "
        f"= {before}"
    )


FAMILIES = (
    Family("convolution-size", _TOPIC, "width behind a convolution", LEVELS, _size),
    Family("padding-to-keep", _TOPIC, "padding that keeps the width", LEVELS, _keeping),
    Family("size-behind-layers", _TOPIC, "width behind several layers", LEVELS, _behind),
    Family("input-for-output", _TOPIC, "width of the image for a given output", LEVELS, _input),
)
