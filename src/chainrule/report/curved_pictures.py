"""Curved pictures: the spectrum of a Hessian and the loss around the weights, as SVG text."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chainrule.gradients.curvature_answer import Curvature, LossPlane
from chainrule.report.figures import BLUE, GREY, ORANGE, svg


def spectrum_picture(answer: Curvature) -> str:
    """How many eigenvalues lie where: a line for each Ritz value, orange below 0.

    Args:
        answer: what ``curvature`` found.
    """
    values = np.array(answer.values)
    counts = np.array(answer.weights) * answer.parameters

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        colours = [ORANGE if value < 0 else BLUE for value in answer.values]
        low = min(0.5, float(counts[counts > 0].min()))
        axes.vlines(values, low / 2, np.maximum(counts, low / 2), colors=colours, linewidth=1.5)
        axes.scatter(values, np.maximum(counts, low / 2), c=colours, s=14, zorder=3)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yscale("log")
        _symmetric_log(axes, values)
        axes.set_xlabel("eigenvalue (loss per squared unit of the weights)")
        axes.set_ylabel("eigenvalues it stands for")

    return svg("spectrum", 8.6, 3.2, draw)


def _symmetric_log(axes: Axes, values: NDArray[Any]) -> None:
    """Values over more than two decades are spread out by their logarithm."""
    sizes = np.abs(values)
    largest = float(sizes.max())
    if largest > 0 and float(np.median(sizes)) < 0.01 * largest:
        axes.set_xscale("symlog", linthresh=largest * 1e-3)


def plane_picture(plane: LossPlane) -> str:
    """The loss over the plane, with the weights and the minimum of the quadratic through them.

    Args:
        plane: of a ``Curvature``.
    """
    losses = np.ma.masked_invalid(np.array(plane.losses, dtype=float))
    first, second = (np.array(steps) for steps in plane.steps)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_facecolor("#dddddd")  # where the loss is not finite
        _contours(figure, axes, (first, second), losses)
        axes.axhline(0, color="white", linewidth=0.8, linestyle=":")
        axes.axvline(0, color="white", linewidth=0.8, linestyle=":")
        axes.plot(0, 0, "o", color="white", markeredgecolor="black", label="the weights")
        _minima(axes, plane)
        axes.set_xlim(first[0], first[-1])
        axes.set_ylim(second[0], second[-1])
        for name, axis in zip(("x", "y"), plane.axes, strict=True):
            number = "first" if name == "x" else "second"
            label = f"along the {number} eigenvector (λ = {axis.value:.4g})"
            (axes.set_xlabel if name == "x" else axes.set_ylabel)(label)
        figure.legend(loc="outside lower center", frameon=False, ncols=3)

    return svg("loss-plane", 6.6, 5.4, draw)


def _contours(
    figure: Figure, axes: Axes, steps: tuple[NDArray[Any], NDArray[Any]], losses: Any
) -> None:
    """Filled contours, evenly spaced in the logarithm above the lowest loss."""
    finite = losses.compressed()
    if not len(finite):
        axes.text(0.5, 0.5, "not finite anywhere", ha="center", transform=axes.transAxes)
        return
    low, high = float(finite.min()), float(finite.max())
    if high <= low:
        high = low + max(abs(low), 1.0) * 1e-6
    levels = low + (high - low) * np.linspace(0, 1, 17) ** 2
    shown = axes.contourf(*steps, losses.T, levels=levels, cmap="viridis", extend="both")
    axes.contour(*steps, losses.T, levels=levels, colors="black", linewidths=0.3, alpha=0.5)
    figure.colorbar(shown, ax=axes, label="loss", format="%.3g")


def _minima(axes: Axes, plane: LossPlane) -> None:
    """The minimum along each axis that curves up, and both together."""
    a, b = plane.minimum
    if a is not None and b is not None:
        axes.plot(a, b, "*", color=ORANGE, markersize=13, label="minimum of the quadratic")
    label: str | None = "minimum along one axis"
    for x, y in ((a, 0.0), (0.0, b)):
        if x is not None and y is not None:
            axes.plot(x, y, "+", color=ORANGE, markersize=10, markeredgewidth=2, label=label)
            label = None
