"""The pictures of an experiment: panels of curves, and paths over contours that move in a page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.report.figures import BLUE, GREEN, GREY, ORANGE, drawn, svg
from chainrule.study.picture import Curve, Landscape, Panel, Picture

# Okabe & Ito 2008, which colour-blind readers tell apart
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00", "#000000", GREY)
_MARKERS = "osD^vP*X"
_WIDTH, _HEIGHT, _IN_A_ROW = 4.6, 3.3, 2
_LEGEND = 0.5  # inches for one that hangs below the axes
_MANY = 5  # curves whose legend would cover them
_SECONDS = 8  # of the animation
_MOST_FRAMES = 120


def studied_picture(picture: Picture) -> str:
    """All panels of a picture as one SVG, two in a row.

    Args:
        picture: data of an experiment or a question.
    """
    moving: list[str] = []

    def after(figure: Figure) -> None:  # only now is it known where the axes are
        for panel, axes in zip(picture.panels, figure.axes, strict=False):
            if isinstance(panel, Landscape):
                moving.extend(_circles(figure, axes, panel))

    text = svg(picture.caption, *_size(picture), lambda figure: _draw(figure, picture), after)
    return text.replace("</svg>", "".join(moving) + "</svg>")


def picture_file(picture: Picture, kind: str) -> bytes:
    """The same as a file, without motion.

    Args:
        picture: data of an experiment or a question.
        kind: "svg", "png" or "pdf".
    """
    return drawn(picture.caption, *_size(picture), lambda figure: _draw(figure, picture), kind)


def _size(picture: Picture) -> tuple[float, float]:
    """Width and height in inches."""
    columns = min(len(picture.panels), _IN_A_ROW)
    rows = math.ceil(len(picture.panels) / columns)
    below = any(_hangs_below(_labels(panel)) for panel in picture.panels)
    height = _HEIGHT + (_LEGEND if below else 0)
    return _WIDTH * columns + (1.6 if columns == 1 else 0), height * rows


def _labels(panel: Panel | Landscape) -> list[str]:
    """What the legend names."""
    curves = panel.paths if isinstance(panel, Landscape) else panel.curves
    return [one.label for one in curves if one.label]


def _draw(figure: Figure, picture: Picture) -> None:
    columns = min(len(picture.panels), _IN_A_ROW)
    rows = math.ceil(len(picture.panels) / columns)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, cell in zip(picture.panels, axes, strict=False):
        if isinstance(panel, Landscape):
            _landscape(cell, panel)
        else:
            _panel(cell, panel)
    for cell in axes[len(picture.panels) :]:
        cell.axis("off")


def _panel(axes: Axes, panel: Panel) -> None:
    bars = [one for one in panel.curves if one.kind == "bars"]
    for number, one in enumerate(panel.curves):
        colour = _COLOURS[number % len(_COLOURS)]
        if one.kind == "bars":
            _bars(axes, one, colour, bars.index(one), len(bars))
        else:
            _line(axes, one, colour, _MARKERS[number % len(_MARKERS)])
    for height, words in panel.marks:
        axes.axhline(height, color=GREY, linewidth=0.9, linestyle=":")
        axes.annotate(  # right of the axes, where neither curves nor a legend are
            words, (1, height), xycoords=("axes fraction", "data"), ha="left", va="center",
            xytext=(3, 0), textcoords="offset points", fontsize=7, color=GREY,
        )  # fmt: skip
    _scales(axes, panel)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    _legend(axes, _labels(panel))


def _scales(axes: Axes, panel: Panel) -> None:
    if panel.x_log and _positive(value for one in panel.curves for value in one.x):
        axes.set_xscale("log")
    if panel.y_log and _positive(value for one in panel.curves for value in one.y):
        axes.set_yscale("log")
    if panel.categories:
        long = max(len(name) for name in panel.categories) > 8 or len(panel.categories) > 6
        axes.set_xticks(
            range(len(panel.categories)), panel.categories,
            rotation=30 if long else 0, ha="right" if long else "center", fontsize=8,
        )  # fmt: skip


def _positive(values: Any) -> bool:
    """Whether there is something for a logarithmic axis."""
    return any(value > 0 and math.isfinite(value) for value in values)


def _bars(axes: Axes, one: Curve, colour: str, place: int, count: int) -> None:
    width = 0.8 / count
    left = np.array(one.x) + (place - (count - 1) / 2) * width
    axes.bar(left, one.y, width, color=colour, label=one.label or None, yerr=_errors(one))


def _line(axes: Axes, one: Curve, colour: str, marker: str) -> None:
    x, y = np.array(one.x), np.array(one.y)
    kept = np.isfinite(y)
    style: dict[str, Any] = {"color": colour, "label": one.label or None, "linewidth": 1.6}
    if one.kind == "points":
        axes.errorbar(x, y, yerr=_errors(one), fmt=marker, capsize=3, markersize=5, **style)
        return
    if one.low:
        axes.fill_between(x, one.low, one.high, color=colour, alpha=0.18, linewidth=0)
    few = marker if kept.sum() <= 12 else ""
    line = "--" if one.dashed else "-"
    axes.plot(x[kept], y[kept], linestyle=line, marker=few, markersize=4, **style)


def _errors(one: Curve) -> Any:
    if not one.low:
        return None
    y = np.array(one.y)
    return np.maximum(np.stack([y - np.array(one.low), np.array(one.high) - y]), 0)


def _landscape(axes: Axes, panel: Landscape) -> None:
    heights = np.array(panel.heights)
    low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
    levels = low + (max(high - low, 1e-12)) * np.linspace(0, 1, 16) ** 2
    axes.contour(panel.x, panel.y, heights, levels=levels, cmap="Greys", linewidths=0.6)
    for number, one in enumerate(panel.paths):
        colour = _COLOURS[number % len(_COLOURS)]
        axes.plot(one.x, one.y, color=colour, linewidth=1.3, label=one.label, alpha=0.9)
        axes.plot(one.x[-1:], one.y[-1:], "o", color=colour, markersize=4)
    axes.plot(panel.paths[0].x[:1], panel.paths[0].y[:1], "k+", markersize=8)
    axes.set_xlim(panel.x[0], panel.x[-1])
    axes.set_ylim(panel.y[0], panel.y[-1])
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    _legend(axes, _labels(panel))


def _hangs_below(labels: Sequence[str]) -> bool:
    return len(labels) >= _MANY


def _legend(axes: Axes, labels: Sequence[str]) -> None:
    """Within the axes for a few curves, below them for many, which it would cover."""
    if _hangs_below(labels):
        columns = 3 if max(map(len, labels)) <= 22 else 2
        axes.legend(  # the layout makes room for it
            frameon=False, fontsize=7.5, ncols=columns, loc="upper center",
            bbox_to_anchor=(0.5, -0.2), columnspacing=1.2, handlelength=1.6,
        )  # fmt: skip
    elif labels:
        axes.legend(frameon=False, fontsize=7.5)


def _circles(figure: Figure, axes: Axes, panel: Landscape) -> list[str]:
    """A circle for each path that walks along it again and again, all at the same step.

    SVG's own animation: a page needs no script for it; who asks for less motion sees none.
    """
    longest = max(len(one.x) for one in panel.paths)
    steps = np.unique(np.linspace(0, longest - 1, min(longest, _MOST_FRAMES)).round().astype(int))
    found = []
    for number, one in enumerate(panel.paths):
        at = np.minimum(steps, len(one.x) - 1)
        points = np.column_stack([np.array(one.x)[at], np.array(one.y)[at]])
        found.append(_circle(_pixels(figure, axes, points), _COLOURS[number % len(_COLOURS)]))
    return found


def _pixels(figure: Figure, axes: Axes, points: Any) -> Any:
    """Places in the SVG, whose unit is 1/72 inch from the top left; held inside of the axes."""
    low, high = np.array(axes.get_xlim()), np.array(axes.get_ylim())
    inside = np.clip(points, [low.min(), high.min()], [low.max(), high.max()])
    shown = axes.transData.transform(np.nan_to_num(inside)) * 72 / figure.dpi
    shown[:, 1] = figure.get_figheight() * 72 - shown[:, 1]
    return shown


def _circle(points: Any, colour: str) -> str:
    def animated(name: str, values: Sequence[float]) -> str:
        listed = ";".join(f"{value:.1f}" for value in values)
        return (
            f'<animate attributeName="{name}" values="{listed}" dur="{_SECONDS}s" '
            'repeatCount="indefinite"/>'
        )

    x, y = points[:, 0], points[:, 1]
    return (
        f'<circle class="moving" r="4.5" cx="{x[0]:.1f}" cy="{y[0]:.1f}" fill="{colour}" '
        f'stroke="white">{animated("cx", x)}{animated("cy", y)}</circle>'
    )


def moves(picture: str) -> bool:
    """Whether an SVG has a part that moves."""
    return re.search(r"<animate\b", picture) is not None
