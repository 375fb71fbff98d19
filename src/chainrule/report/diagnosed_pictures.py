"""Diagnosed pictures: the replays of a diagnosis, side by side."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.diagnosis.verdict import Curve, Diagnosis, ReplaySeen
from chainrule.report.figures import BLUE, GREEN, GREY, svg

_MOST = 12


def diagnosed_pictures(answer: Diagnosis) -> list[tuple[str, str, str]]:
    """(heading, description, SVG)."""
    found = []
    if any(len(item.curve) > 1 for item in answer.replays):
        words = "Skill against the step: the run as it is, with the change, and other replays"
        found.append(("Skill", words, _curves(answer, "curve", "skill")))
    if any(math.isfinite(value) for item in answer.replays for _, value in item.losses):
        words = "Training loss against the step"
        found.append(("Training loss", words, _curves(answer, "losses", "training loss")))
    return found


def _curves(answer: Diagnosis, name: str, label: str) -> str:
    named = " + ".join(sorted({item.intervention for item in answer.causes}))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for item in reversed(answer.replays):
            _draw(axes, item, getattr(item, name), named)
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        axes.legend(unique.values(), unique.keys(), frameon=False, fontsize=8)

    return svg(f"diagnosed-{name}", 7.4, 3.2, draw)


def _draw(axes: Axes, item: ReplaySeen, curve: Curve, named: str) -> None:
    points = [(step, value) for step, value in curve if math.isfinite(value)]
    if not points:
        return
    steps, values = zip(*points, strict=True)
    if item.intervention == "nothing changed":
        axes.plot(steps, values, color=GREY, linewidth=1.8, label="as it is (each seed)")
    elif item.intervention == named:
        axes.plot(steps, values, color=GREEN, linewidth=1.8, label="with the change (each seed)")
    else:
        axes.plot(steps, values, color=BLUE, linewidth=0.6, alpha=0.35, label="other replays")
