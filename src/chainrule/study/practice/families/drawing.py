"""Drawing: numbers that can be worked with by hand, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from chainrule.study.practice.question import Mistake

_Drawn = TypeVar("_Drawn")


def quarters(drawn: Random, low: float, high: float, step: float = 0.25) -> float:
    """A multiple of ``step`` between two numbers, never 0."""
    return until(
        lambda: drawn.randint(round(low / step), round(high / step)) * step,
        lambda value: value != 0,
    )


def until(draw: Callable[[], _Drawn], fine: Callable[[_Drawn], bool]) -> _Drawn:
    """Draw again until it is fine."""
    while True:
        found = draw()
        if fine(found):
            return found


def shown(value: float) -> str:
    """A number with four digits.

    Examples:
        >>> shown(0.25), shown(2 / 3), shown(-0.0)
        ('0.25', '0.6667', '0')
    """
    return f"{value + 0.0:.4g}"


def row(values: Sequence[float]) -> str:
    """Numbers in brackets.

    Examples:
        >>> row([1.0, -0.5])
        '[1, -0.5]'
    """
    return f"[{', '.join(map(shown, values))}]"


def mistaken(*pairs: tuple[float | Sequence[float], str]) -> tuple[Mistake, ...]:
    """Wrong numbers, or rows of them, with their reasons."""
    return tuple(Mistake(_typed(value), why) for value, why in pairs)


def _typed(value: float | Sequence[float]) -> str:
    """As somebody would type it, with digits enough."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value + 0.0:.7g}"
    return f"[{', '.join(map(_typed, value))}]"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    Examples:
        >>> plural(1, "layer"), plural(3, "layer")
        ('1 layer', '3 layers')
    """
    return f"{count} {noun}" + ("" if count == 1 else "s")


def ordinal(place: int) -> str:
    """The name of a place.

    Examples:
        >>> ordinal(0), ordinal(3)
        ('first', 'fourth')
    """
    return ("first", "second", "third", "fourth", "fifth", "sixth")[place]


def signed(value: float) -> str:
    """As the second term of a sum.

    Examples:
        >>> signed(2.0), signed(-0.5)
        ('+ 2', '- 0.5')
    """
    return f"{'-' if value < 0 else '+'} {shown(abs(value))}"


def inner(value: float) -> str:
    """Within a product or behind a minus: negative numbers in brackets.

    Examples:
        >>> inner(2.0), inner(-0.5)
        ('2', '(-0.5)')
    """
    return shown(value) if value >= 0 else f"({shown(value)})"
