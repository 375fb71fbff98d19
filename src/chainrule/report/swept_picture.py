"""The picture of a sweep: a line over one setting, tiles over two, a dot for each beyond."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from chainrule.report.figures import BLUE, GREY, svg
from chainrule.report.words import shortened
from chainrule.training.sweep import Sweep, SweepRow

_MOST_DOTS = 30


def sweep_picture(answer: Sweep) -> str:
    """What the sweep is ordered by, against its settings, as SVG."""
    varied = [name for name, values in answer.axes.items() if len(values) > 1]
    if len(varied) == 1:
        return svg("sweep", 6.0, 3.4, lambda figure: _line(figure, answer, varied[0]))
    if len(varied) == 2:
        return svg("sweep", 6.4, 4.2, lambda figure: _tiles(figure, answer, *varied))
    height = 1.0 + 0.28 * min(len(answer.rows), _MOST_DOTS)
    return svg("sweep", 7.0, height, lambda figure: _dots(figure, answer))


def _line(figure: Figure, answer: Sweep, name: str) -> None:
    axes = figure.subplots()
    known = {str(row.settings[name]): row for row in answer.rows}
    values = [value for value in answer.axes[name] if _mean(known[str(value)], answer) is not None]
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
    values = sorted(values) if numbers else values
    means = [known[str(value)].means[answer.chosen_by] for value in values]
    spreads = [known[str(value)].spreads.get(answer.chosen_by, 0.0) for value in values]
    places: list[Any] = values if numbers else [shortened(str(value), 24) for value in values]
    style = "o-" if numbers else "o"
    axes.errorbar(places, means, yerr=spreads, fmt=style, color=BLUE, capsize=3, linewidth=1.6)
    if numbers and values and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_xscale("log")
    axes.set_xlabel(name)
    _label(axes, answer)


def _tiles(figure: Figure, answer: Sweep, down: str, right: str) -> None:
    axes = figure.subplots()
    rows, columns = answer.axes[down], answer.axes[right]
    field = np.full((len(rows), len(columns)), np.nan)
    for row in answer.rows:
        mean = _mean(row, answer)
        place = (rows.index(row.settings[down]), columns.index(row.settings[right]))
        field[place] = np.nan if mean is None else mean
    better = "viridis" if answer.chosen_by.endswith("accuracy") else "viridis_r"
    image = axes.imshow(field, cmap=better, aspect="auto")
    axes.set_yticks(range(len(rows)), [shortened(str(value), 24) for value in rows])
    axes.set_xticks(range(len(columns)), [shortened(str(value), 24) for value in columns])
    axes.set_ylabel(down)
    axes.set_xlabel(right)
    middle = (np.nanmin(field) + np.nanmax(field)) / 2
    for (y, x), value in np.ndenumerate(field):
        bright = (value > middle) == (better == "viridis")
        text = "failed" if math.isnan(value) else _short(value, answer)
        colour = GREY if math.isnan(value) else "black" if bright else "white"
        axes.text(x, y, text, ha="center", va="center", color=colour)
    figure.colorbar(image, label=_words(answer))


def _dots(figure: Figure, answer: Sweep) -> None:
    axes = figure.subplots()
    rows = [row for row in answer.rows if _mean(row, answer) is not None][:_MOST_DOTS]
    names = [
        ", ".join(f"{k}={shortened(str(v), 16)}" for k, v in row.settings.items()) for row in rows
    ]
    means = [row.means[answer.chosen_by] for row in rows]
    spreads = [row.spreads.get(answer.chosen_by, 0.0) for row in rows]
    axes.errorbar(means, range(len(rows)), xerr=spreads, fmt="o", color=BLUE, capsize=3)
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlabel(_words(answer))


def _mean(row: SweepRow, answer: Sweep) -> float | None:
    return row.means.get(answer.chosen_by)


def _label(axes: Any, answer: Sweep) -> None:
    axes.set_ylabel(_words(answer))
    if answer.chosen_by.endswith("accuracy"):
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


def _words(answer: Sweep) -> str:
    return answer.chosen_by.replace("_", " ")


def _short(value: float, answer: Sweep) -> str:
    return f"{100 * value:.2f} %" if answer.chosen_by.endswith("accuracy") else f"{value:.4g}"
