"""Figures: pictures of answers as SVG text, drawn with matplotlib without its global state."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chainrule.analysis.description import Description
from chainrule.report.words import shortened
from chainrule.training.result import Mistake, Series, TrainingResult

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"  # Okabe & Ito 2008
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_MOST_FILTERS, _MOST_CELLS = 64, 20


def svg(
    name: str,
    width: float,
    height: float,
    draw: Callable[[Figure], None],
    after: Callable[[Figure], None] | None = None,
) -> str:
    """The picture that ``draw`` puts on a figure of the given size (inches).

    Its inner ids are salted with ``name``: pictures on one page must not share clip paths.
    ``after`` looks at the figure once it is laid out and written.
    """
    text = drawn(name, width, height, draw, "svg", after).decode()
    return text[text.index("<svg") :]


def drawn(
    name: str,
    width: float,
    height: float,
    draw: Callable[[Figure], None],
    kind: str,
    after: Callable[[Figure], None] | None = None,
) -> bytes:
    """The same as a file of that kind ("svg", "png", "pdf"), the same bytes each time."""
    with rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        stream = io.BytesIO()
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
        figure.savefig(stream, format=kind, metadata=dates[kind], facecolor="white", dpi=150)
        if after is not None:
            after(figure)
    return stream.getvalue()


def _finite(series: Series) -> tuple[list[int], list[float]]:
    points = [(step, value) for step, value in series if math.isfinite(value)]
    return [step for step, _ in points], [value for _, value in points]


def _lines(axes: Axes, curves: Sequence[tuple[str, Series, str, str]]) -> None:
    """Draw named series; a lone point becomes a dot."""
    drawn = False
    for label, series, colour, style in curves:
        steps, values = _finite(series)
        if steps:
            marker = "o" if len(steps) == 1 else ""
            axes.plot(steps, values, style, color=colour, label=label, marker=marker, linewidth=1.8)
            drawn = True
    axes.set_xlabel("step")
    if drawn:
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "not recorded", ha="center", transform=axes.transAxes, color=GREY)


def loss_curves(result: TrainingResult) -> str:
    """Data, full and validation loss against the step; log scale beyond a factor of 100."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        curves = result.curves
        smooth = curves.get("train/epoch_data_loss", ())
        minibatch = curves.get("train/data_loss", ())
        steps, values = _finite(minibatch)
        axes.plot(steps, values, color=BLUE, alpha=0.18, linewidth=0.5)
        _lines(
            axes,
            [
                ("data loss, training", smooth, BLUE, "-"),
                ("full loss, training", curves.get("train/full_loss", ()), GREEN, ":"),
                ("data loss, validation", curves.get("validation/loss", ()), ORANGE, "--"),
            ],
        )
        positive = [value for value in values if value > 0]
        if positive and max(positive) > 100 * min(positive):
            axes.set_yscale("log")
        axes.set_ylabel("loss")

    return svg("loss", 5.4, 3.2, draw)


def accuracy_curves(result: TrainingResult) -> str:
    """Training and validation accuracy against the step, with the test accuracy as a line."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        curves = result.curves
        if result.test_accuracy is not None:
            axes.axhline(result.test_accuracy, color=GREY, linewidth=0.8, label="test")
        _lines(
            axes,
            [
                ("training", curves.get("train/accuracy", ()), BLUE, "-"),
                ("validation", curves.get("validation/accuracy", ()), ORANGE, "--"),
            ],
        )
        axes.set_ylabel("accuracy")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")

    return svg("accuracy", 5.4, 3.2, draw)


def learning_rate_curve(result: TrainingResult) -> str:
    """The learning rate against the step."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        series = result.curves.get("learning_rate", ())
        _lines(axes, [("learning rate", series, BLUE, "-")])
        axes.set_ylabel("learning rate")

    return svg("rate", 5.4, 2.2, draw)


def confusion_picture(confusion: NDArray[Any], classes: Sequence[str]) -> str:
    """Counts by true class (rows) and predicted class (columns), shaded by share of the row."""
    count = len(classes)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        if count <= _MOST_CELLS:
            names = [shortened(name, 16) for name in classes]
            axes.set_xticks(range(count), names, rotation=45 if _long(names) else 0)
            axes.set_yticks(range(count), names)
            for (row, column), times in np.ndenumerate(confusion):
                if times:
                    colour = "white" if shares[row, column] > 0.6 else "black"
                    axes.text(column, row, str(times), ha="center", va="center", color=colour)

    size = min(7.0, 2.0 + 0.42 * count)
    return svg("confusion", size, size, draw)


def _long(names: Sequence[str]) -> bool:
    return any(len(name) > 3 for name in names)


def filters_picture(filters: NDArray[Any]) -> str:
    """Filters (F, C, kh, kw) as tiles, grey at zero; three channels in colour, else their mean."""
    shown = filters[:_MOST_FILTERS]
    largest = float(np.abs(shown).max()) or 1.0
    scaled = 0.5 + shown / (2 * largest)
    tiles = [tile.transpose(1, 2, 0) if tile.shape[0] == 3 else tile.mean(0) for tile in scaled]
    return _grid(tiles, None, 0.5)


def mistakes_picture(mistakes: Sequence[Mistake], classes: Sequence[str]) -> str:
    """Misclassified images with true class, predicted class and its probability."""
    tiles = [
        mistake.image.transpose(1, 2, 0) if mistake.image.shape[0] == 3 else mistake.image[0]
        for mistake in mistakes
    ]
    names = [shortened(name, 12) for name in classes]
    titles = [
        f"{names[m.true]} →\n{names[m.predicted]}\n({100 * m.probability:.0f} %)" for m in mistakes
    ]
    return _grid(tiles, titles, 0.95)


def _grid(tiles: Sequence[NDArray[Any]], titles: Sequence[str] | None, side: float) -> str:
    """Tiles in rows of eight (mistakes) or sixteen (filters), values from 0 to 1."""
    columns = min(len(tiles), 8 if titles else 16)
    rows = math.ceil(len(tiles) / columns)

    def draw(figure: Figure) -> None:
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for cell in axes:
            cell.axis("off")
        for number, (cell, tile) in enumerate(zip(axes, tiles, strict=False)):
            cell.imshow(np.clip(tile, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if titles:
                cell.set_title(titles[number], fontsize=7)

    return svg(
        "mistakes" if titles else "filters",
        side * columns,
        (side + (0.6 if titles else 0)) * rows,
        draw,
    )


def shares_picture(answer: Description) -> str:
    """Where the parameters, the work and the activation memory sit, layer by layer."""
    layers = [row for row in answer.layers if row.parameters or row.macs or row.activation_bytes]
    quantities = (
        ("parameters", [row.parameters for row in layers], BLUE),
        ("MACs", [row.macs for row in layers], GREEN),
        ("activation bytes", [row.activation_bytes for row in layers], ORANGE),
    )

    def draw(figure: Figure) -> None:
        panels = figure.subplots(3, 1, sharex=True)
        for axes, (name, values, colour) in zip(panels, quantities, strict=True):
            total = sum(values) or 1
            axes.bar(range(len(values)), [100 * value / total for value in values], color=colour)
            axes.set_ylabel(f"{name}\n(% of total)")
        step = max(1, len(layers) // 40)
        places = list(range(0, len(layers), step))
        names = [shortened(layers[place].name, 22) for place in places]
        panels[-1].set_xticks(places, names, rotation=90, fontsize=7)

    return svg("shares", 9, 6.2, draw)
