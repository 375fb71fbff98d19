"""Practice questions read back from their text, and windows slid the slow way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chainrule.study.practice.expected import Choice, Expected
from chainrule.study.practice.making import make
from chainrule.study.practice.question import Family, Question


@dataclass(frozen=True)
class Sliding:
    """A layer as a question writes it; padding is per side."""

    kernel: int
    stride: int
    padding: int
    dilation: int


def questions(families: Sequence[Family], name: str, count: int = 21) -> Iterator[Question]:
    """So many questions of one family, all levels in turn."""
    (family,) = (one for one in families if one.name == name)
    for seed in range(count):
        yield make(family, family.levels[seed % len(family.levels)], seed)


def right(question: Question) -> Expected:
    """The right answer itself, also where there are options."""
    expected = question.expected
    if isinstance(expected, Choice):
        assert expected.value is not None
        return expected.value
    return expected


def numbers(text: str) -> list[float]:
    """All numbers in a text, signs included."""
    return [float(found) for found in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", text)]


def whole(pattern: str, text: str) -> tuple[int, ...]:
    """The groups of a pattern as whole numbers; thousands may be set apart."""
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return tuple(int(group.replace(",", "")) for group in found.groups())


def rows(text: str) -> list[list[float]]:
    """All rows of numbers in square brackets."""
    return [numbers(found) for found in re.findall(r"\[([^\]]*)\]", text)]


def layers(text: str) -> list[Sliding]:
    """What stands between arrows: ``conv 5x5, stride 2 -> pool 2x2, stride 2``."""
    return [
        Sliding(
            whole(r"(\d+)x", part)[0],
            *(
                int(found[1]) if (found := re.search(rf"{word} (\d+)", part)) else default
                for word, default in (("stride", 1), ("padding", 0), ("dilation", 1))
            ),
        )
        for part in text.split("->")
    ]


def places(width: int, layer: Sliding, before: int | None = None, after: int | None = None) -> int:
    """How often the window fits, tried place by place; padding may differ on both sides."""
    first = -(layer.padding if before is None else before)
    last = width - 1 + (layer.padding if after is None else after)
    return sum(
        1
        for start in range(first, last + 1, layer.stride)
        if start + layer.dilation * (layer.kernel - 1) <= last
    )


def seen(stack: Sequence[Sliding]) -> int:
    """Extent of the set of pixels that the first unit reaches, layer by layer."""
    pixels = {0}
    for layer in reversed(stack):
        pixels = {
            layer.stride * one + layer.dilation * step
            for one in pixels
            for step in range(layer.kernel)
        }
    return max(pixels) - min(pixels) + 1
