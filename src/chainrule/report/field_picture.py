"""Field picture: a measured receptive field laid over an image, as SVG text."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from chainrule.analysis.effective import EffectiveField
from chainrule.report.figures import BLUE, ORANGE, svg


def field_picture(answer: EffectiveField) -> str:
    """The image with both fields, and how much each pixel matters.

    Args:
        answer: what ``effective_field`` measured.
    """

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        image = answer.image[:, :, 0] if answer.image.shape[2] == 1 else answer.image
        left.imshow(image, cmap="gray", vmin=0, vmax=1)
        left.imshow(answer.importance**0.5, cmap="magma", alpha=0.55)
        _outline(left, answer)
        left.set_title("laid over an image")
        shown = right.imshow(answer.importance, cmap="magma", vmin=0, vmax=1)
        _outline(right, answer)
        right.set_title("mean absolute gradient, largest = 1")
        figure.colorbar(shown, ax=right, shrink=0.8)
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), frameon=False, ncols=2)
        for axes in (left, right):
            axes.set_xticks([])
            axes.set_yticks([])

    return svg("effective-field", 8.6, 4.4, draw)


def _outline(axes: Axes, answer: EffectiveField) -> None:
    (top, bottom), (first, last) = answer.box
    corner, size = (first - 0.5, top - 0.5), (last - first + 1, bottom - top + 1)
    axes.add_patch(
        Rectangle(corner, *size, fill=False, edgecolor=BLUE, linewidth=1.8, label="theoretical")
    )
    centre = ((first + last) / 2, (top + bottom) / 2)
    half = answer.size / 2
    axes.add_patch(
        Rectangle(
            (centre[0] - half, centre[1] - half),
            answer.size,
            answer.size,
            fill=False,
            edgecolor=ORANGE,
            linewidth=1.8,
            label="effective",
        )
    )
