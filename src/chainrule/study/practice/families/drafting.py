"""Drafting: how numbers are written in questions, and drafts with mistakes enough to offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from random import Random

from chainrule.study.practice.making import distinct
from chainrule.study.practice.question import Draft, Mistake

Draw = Callable[[Random, int], Draft]
ORDINALS = ("first", "second", "third", "fourth", "fifth")
_FEWEST, _TRIES = 3, 200


def shown(value: float) -> str:
    """A number as a person writes it, to five digits and without a minus before 0.

    Examples:
        >>> shown(-0.5), shown(2.0), shown(1 / 3), shown(-0.0)
        ('-0.5', '2', '0.33333', '0')
    """
    return f"{value + 0.0:.5g}"


def factor(value: float) -> str:
    """A number behind an operator: negative ones in parentheses.

    Examples:
        >>> f"2*{factor(-3)}"
        '2*(-3)'
    """
    return f"({shown(value)})" if value < 0 else shown(value)


def listed(values: Iterable[float]) -> str:
    """Numbers in brackets.

    Examples:
        >>> listed((1, -0.5))
        '[1, -0.5]'
    """
    return f"[{', '.join(map(shown, values))}]"


def halves(drawn: Random, least: float, most: float) -> float:
    """A whole number or a half, both ends included."""
    return drawn.randint(round(2 * least), round(2 * most)) / 2


def numbers(*pairs: tuple[float, str]) -> tuple[Mistake, ...]:
    """Mistakes whose answers are numbers."""
    return tuple(Mistake(f"{value + 0.0:.8g}", why) for value, why in pairs)


def vectors(*pairs: tuple[Sequence[float], str]) -> tuple[Mistake, ...]:
    """Mistakes whose answers are several numbers."""
    return tuple(
        Mistake(f"[{', '.join(f'{value + 0.0:.8g}' for value in values)}]", why)
        for values, why in pairs
    )


def enough_mistakes(draw: Draw) -> Draw:
    """Draw again until three mistakes lead to answers that can be told apart."""

    @wraps(draw)
    def redrawn(drawn: Random, level: int) -> Draft:
        for _ in range(_TRIES):
            draft = draw(drawn, level)
            if draft.expected is None or len(distinct(draft)) >= _FEWEST:
                return draft
        return draft

    return redrawn
