"""Watched pictures: series of a watched training against the step."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.diagnosis.answer import Series, Watched
from chainrule.report.figures import BLUE, GREEN, GREY, ORANGE, svg

_BY_LAYER = (
    ("update_ratio", "Update ratio", "update / parameter", True),
    ("gradient_norm", "Gradient norm", "norm of the gradient", True),
    ("activation_std", "Activations", "standard deviation", True),
    ("dead", "Dead units", "share of units", False),
    ("saturated", "Saturation", "share of activations", False),
)
_MOST = 12  # curves in one picture: the first and the last layers
_MARKS = 400  # points beyond which a curve is thinned for the picture


def watched_pictures(answer: Watched) -> list[tuple[str, str, str]]:
    """(heading, description, SVG) for each series that was recorded."""
    found = [("Loss", "Loss against the step", _loss(answer))]
    for prefix, heading, label, log in _BY_LAYER:
        curves = {
            name.partition("/")[2]: points for name, points in answer.series.items()
            if name.startswith(f"{prefix}/") and not name.endswith(".bias")
        }  # fmt: skip
        if any(len(points) > 1 for points in curves.values()):
            picture = _by_layer(prefix, label, _ends(curves), log)
            found.append((f"{heading} by layer", f"{heading} against the step", picture))
    return found


def _ends(curves: dict[str, Series]) -> dict[str, Series]:
    names = list(curves)
    if len(names) <= _MOST:
        return curves
    half = _MOST // 2
    return {name: curves[name] for name in (*names[:half], *names[-half:])}


def _loss(answer: Watched) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        drawn = [
            _curve(axes, answer.series.get(name, ()), label, colour)
            for name, label, colour in (
                ("train/loss", "full loss" if "train/penalty" in answer.series else "loss", BLUE),
                ("train/penalty", "penalty", GREEN),
            )
        ]
        if answer.constant is not None and drawn[0]:
            axes.axhline(
                answer.constant, color=GREY, linewidth=0.8, linestyle="--", label="constant answer"
            )
        if answer.origin is not None:
            axes.axvline(
                answer.origin.step, color=ORANGE, linewidth=1, label="first value not finite"
            )
        _finish(axes, "loss", drawn[0] or drawn[1])
        values = [value for _, value in answer.series.get("train/loss", ()) if value > 0]
        finite = [value for value in values if math.isfinite(value)]
        if finite and max(finite) > 100 * min(finite):
            axes.set_yscale("log")

    return svg("watched-loss", 7.4, 3.0, draw)


def _curve(axes: Axes, points: Series, label: str, colour: str | None = None) -> bool:
    kept = [(step, value) for step, value in points if math.isfinite(value)]
    every = max(1, len(kept) // _MARKS)
    kept = kept[::every]
    if not kept:
        return False
    steps, values = zip(*kept, strict=True)
    axes.plot(
        steps, values, color=colour, label=label, linewidth=1.4, markersize=3,
        marker="o" if len(kept) < 12 else "",
    )  # fmt: skip
    return True


def _by_layer(name: str, label: str, curves: dict[str, Series], log: bool) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        drawn = [_curve(axes, points, layer) for layer, points in curves.items()]
        if log and any(value > 0 for points in curves.values() for _, value in points):
            axes.set_yscale("log")
        _finish(axes, label, any(drawn))
        if any(drawn):
            axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))

    return svg(f"watched-{name}", 7.4, 3.0, draw)


def _finish(axes: Axes, label: str, drawn: bool) -> None:
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    if drawn:
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "not recorded", ha="center", transform=axes.transAxes, color=GREY)
