"""Flowed pictures: histograms by layer, gradient norms and singular values against depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.gradients.flow_answer import Flow, LayerFlow
from chainrule.report.figures import BLUE, GREEN, GREY, ORANGE, svg
from chainrule.report.words import shortened

_PANELS, _COLUMNS, _MOST_NAMES = 24, 4, 40


def histograms_picture(answer: Flow) -> str:
    """One histogram of activations for each layer; evenly chosen ones where there are many."""
    rows = _chosen([row for row in answer.layers if row.histogram.counts], _PANELS)
    lines = max(1, math.ceil(len(rows) / _COLUMNS))

    def draw(figure: Figure) -> None:
        panels = list(figure.subplots(lines, _COLUMNS, squeeze=False).flat)
        for panel, row in zip(panels, rows, strict=False):
            _histogram(panel, row)
        for panel in panels[len(rows) :]:
            panel.axis("off")

    return svg("flow-histograms", 9, 1.55 * lines, draw)


def _chosen(rows: list[LayerFlow], most: int) -> list[LayerFlow]:
    if len(rows) <= most:
        return rows
    return [rows[round(place)] for place in np.linspace(0, len(rows) - 1, most)]


def _histogram(axes: Axes, row: LayerFlow) -> None:
    found = row.histogram
    edges = np.linspace(found.low, found.high, len(found.counts) + 1)
    total = sum(found.counts) or 1
    axes.stairs([100 * count / total for count in found.counts], edges, fill=True, color=BLUE)
    axes.set_title(shortened(row.name, 26), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")


def gradients_picture(answer: Flow) -> str:
    """Norm of one example's gradient by the output of each layer, in forward order, log scale."""
    rows = [row for row in answer.layers if row.gradient_norm is not None]
    return _against_depth(
        "flow-gradients",
        "norm of the gradient",
        rows,
        [("gradient", [row.gradient_norm for row in rows], BLUE)],
    )


def singular_values_picture(answer: Flow) -> str:
    """Largest, rms and smallest singular value of each layer's Jacobian, log scale."""
    found = [(row, row.jacobian) for row in answer.layers if row.jacobian is not None]
    return _against_depth(
        "flow-jacobians",
        "singular value",
        [row for row, _ in found],
        [
            ("largest", [values.largest for _, values in found], ORANGE),
            ("rms", [values.rms for _, values in found], BLUE),
            ("smallest", [values.smallest for _, values in found], GREEN),
        ],
    )


Curve = tuple[str, Sequence[float | None], str]


def _against_depth(
    name: str, quantity: str, rows: Sequence[LayerFlow], curves: Sequence[Curve]
) -> str:
    """Curves over the layers; zeros have no place on a log scale and are left out."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for label, values, colour in curves:
            axes.plot(
                range(len(rows)), [value if value else math.nan for value in values],
                "o-", color=colour, label=label, linewidth=1.4, markersize=3.5,
            )  # fmt: skip
        drawn = any(value and math.isfinite(value) for _, values, _ in curves for value in values)
        if not drawn:
            axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes, color=GREY)
            return
        axes.set_yscale("log")
        axes.set_ylabel(quantity)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        if len(curves) > 1:
            axes.axhline(1, color=GREY, linewidth=0.8)
            axes.legend(frameon=False, ncols=len(curves))
        step = max(1, len(rows) // _MOST_NAMES)
        places = list(range(0, len(rows), step))
        names = [shortened(rows[place].name, 22) for place in places]
        axes.set_xticks(places, names, rotation=90, fontsize=7)

    return svg(name, 9, 3.2, draw)
