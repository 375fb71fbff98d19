"""Picture: what an experiment has to show, as data; ``report/`` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chainrule.answer import Answer

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Curve(Answer):
    """Values against x, with a band where they spread.

    Attributes:
        label: for the legend; "" for none.
        x: places.
        y: values; what is not finite is left out.
        low: lower edge of the band or of the error bars, () for none.
        high: upper edge.
        kind: "line", "points" or "bars" (x is then the number of the category).
        dashed: a reference or a second thing beside the measured one.
    """

    label: str
    x: Numbers
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()
    kind: Literal["line", "points", "bars"] = "line"
    dashed: bool = False


def curve(
    label: str, y: Sequence[float], x: Sequence[float] | None = None, *, dashed: bool = False
) -> Curve:
    """A line through values, by default against 1, 2, 3, ...

    Examples:
        >>> curve("loss", [2.3, 1.1]).x
        (1.0, 2.0)
    """
    places = range(1, len(y) + 1) if x is None else x
    return Curve(label, tuple(map(float, places)), tuple(map(float, y)), dashed=dashed)


@dataclass(frozen=True)
class Panel(Answer):
    """One pair of axes.

    Attributes:
        title: above it.
        x_label: with its unit.
        y_label: with its unit.
        curves: what is drawn.
        x_log: logarithmic.
        y_log: logarithmic; what is not above 0 is left out.
        categories: names along x, for bars and points; () for a number axis.
        marks: horizontal lines with their words, (height, words).
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    x_log: bool = False
    y_log: bool = False
    categories: tuple[str, ...] = ()
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Landscape(Answer):
    """A function of two variables as contours, with paths over it (animated in the page).

    Attributes:
        title: above it.
        x: places along the first variable, n of them.
        y: places along the second, m of them.
        heights: m rows of n values.
        paths: one curve per path; x and y are the places of its steps, in order.
        x_label: name of the first variable.
        y_label: name of the second.
    """

    title: str
    x: Numbers
    y: Numbers
    heights: tuple[Numbers, ...]
    paths: tuple[Curve, ...]
    x_label: str = "w1"
    y_label: str = "w2"


@dataclass(frozen=True)
class Picture(Answer):
    """Panels beside each other under one caption.

    Attributes:
        caption: what it shows.
        words: the same for those who cannot see it.
        panels: pairs of axes, left to right, two in a row.
    """

    caption: str
    words: str
    panels: tuple[Panel | Landscape, ...]


@dataclass(frozen=True)
class Table(Answer):
    """Rows of a result; numbers stay numbers.

    Attributes:
        heads: with units.
        rows: cells, text or numbers.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]
