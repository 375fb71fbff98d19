"""Graph picture: layers as boxes, tensors as arrows with their sizes, as SVG text.

Layers stand in ranks, each below all that feed it; within a rank they follow the middle of
their sources. An arrow that skips ranks passes beside the boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from chainrule.analysis.description import Connection, Description
from chainrule.report.columns import field_words
from chainrule.report.words import metric, shortened, volume

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 264, 44, 28, 40, 24
_FAMILIES = (
    (("conv",), "#0072B2"), (("linear", "matmul", "attention", "lstm", "gru", "rnn"), "#009E73"),
    (("pool", "mean", "upsample", "interpolate"), "#D55E00"), (("norm",), "#CC79A7"),
    (("add", "cat", "mul", "stack"), "#B8860B"),
)  # fmt: skip


@dataclass(frozen=True)
class _Box:
    """A layer in its place; the input is number -1, the output -2."""

    number: int
    rank: int
    x: float
    y: float

    @property
    def middle(self) -> float:
        return self.x + _WIDTH / 2


def graph_picture(answer: Description) -> str:
    """The graph of a described network as an SVG document.

    Args:
        answer: a description; ``answer.folded(2)`` draws modules instead of layers.

    Examples:
        >>> from chainrule.analysis.describe import describe
        >>> graph_picture(describe("INPUT 4, FC-3"))[:4]
        '<svg'
    """
    links = [_ends(link) for link in answer.connections]
    boxes = _placed(_ranks(answer, links), links)
    width = max(box.x + _WIDTH for box in boxes.values()) + _MARGIN + _skips(boxes, links)
    height = max(box.y + _HEIGHT for box in boxes.values()) + _MARGIN
    parts = [_arrow(boxes, source, target, shape) for source, target, shape in links]
    parts += [_box(answer, box) for box in boxes.values()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="system-ui, sans-serif" '
        f'role="img" aria-label="Graph of {escape(shortened(answer.network), quote=True)}">'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#5c6570"/></marker></defs>'
        f"{''.join(parts)}</svg>\n"
    )


def _ends(link: Connection) -> tuple[int, int, tuple[int, ...]]:
    return link.source, -2 if link.target == -1 else link.target, link.shape


def _ranks(answer: Description, links: list[tuple[int, int, tuple[int, ...]]]) -> dict[int, int]:
    """Each layer one rank below the lowest that feeds it; layers run in order, so one pass does."""
    joined = {end for source, target, _ in links for end in (source, target)}
    ranks = {-1: 0}
    feeding: dict[int, list[int]] = {}
    for source, target, _ in links:
        feeding.setdefault(target, []).append(source)
    for number in (*range(len(answer.layers)), -2):
        if number in joined:
            known = [ranks[source] for source in feeding.get(number, []) if source in ranks]
            ranks[number] = 1 + max(known, default=0)
    return ranks


def _placed(
    ranks: dict[int, int], links: list[tuple[int, int, tuple[int, ...]]]
) -> dict[int, _Box]:
    levels: dict[int, list[int]] = {}
    for number, rank in ranks.items():
        levels.setdefault(rank, []).append(number)
    widest = max(len(level) for level in levels.values())
    full = widest * _WIDTH + (widest - 1) * _GAP_X
    boxes: dict[int, _Box] = {}
    for rank in sorted(levels):
        level = sorted(levels[rank], key=lambda number: (_pull(boxes, links, number, full), number))
        wide = len(level) * _WIDTH + (len(level) - 1) * _GAP_X
        left = _MARGIN + (full - wide) / 2
        for place, number in enumerate(level):
            x = left + place * (_WIDTH + _GAP_X)
            boxes[number] = _Box(number, rank, x, _MARGIN + rank * (_HEIGHT + _GAP_Y))
    return boxes


def _pull(
    boxes: dict[int, _Box],
    links: list[tuple[int, int, tuple[int, ...]]],
    number: int,
    full: float,
) -> float:
    """Where the sources of a layer stand, on average."""
    places = [boxes[s].middle for s, target, _ in links if target == number and s in boxes]
    return sum(places) / len(places) if places else full / 2


def _skips(boxes: dict[int, _Box], links: list[tuple[int, int, tuple[int, ...]]]) -> float:
    spans = [boxes[target].rank - boxes[source].rank for source, target, _ in links]
    return (
        34.0 + min(max((span - 1 for span in spans), default=0), 20) * 5
        if max(spans, default=0) > 1
        else 0.0
    )


def _arrow(boxes: dict[int, _Box], source: int, target: int, shape: tuple[int, ...]) -> str:
    one, other = boxes[source], boxes[target]
    top, bottom = one.y + _HEIGHT, other.y - 2
    style = 'fill="none" stroke="#5c6570" stroke-width="1.3" marker-end="url(#tip)"'
    span = other.rank - one.rank
    if span <= 1:
        half = (top + bottom) / 2
        path = f"M{one.middle:.0f} {top:.0f}C{one.middle:.0f} {half:.0f} {other.middle:.0f} "
        path += f"{half:.0f} {other.middle:.0f} {bottom:.0f}"
        label = _label((one.middle + other.middle) / 2 + 6, half + 4, shape)
    else:
        between = [box for box in boxes.values() if one.rank <= box.rank <= other.rank]
        side = max(box.x + _WIDTH for box in between) + 12 + min(span - 1, 20) * 5
        right_one, right_other = one.x + _WIDTH, other.x + _WIDTH
        y_one, y_other = one.y + _HEIGHT / 2, other.y + _HEIGHT / 2
        path = f"M{right_one:.0f} {y_one:.0f}C{side:.0f} {y_one:.0f} {side:.0f} {y_one:.0f} "
        path += f"{side:.0f} {y_one + 26:.0f}L{side:.0f} {y_other - 26:.0f}C{side:.0f} "
        path += f"{y_other:.0f} {side:.0f} {y_other:.0f} {right_other + 2:.0f} {y_other:.0f}"
        label = ""
    return f'<path d="{path}" {style}/>{label}'


def _label(x: float, y: float, shape: tuple[int, ...]) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="10" fill="#5c6570" stroke="#ffffff" '
        f'stroke-width="3" paint-order="stroke">{escape(volume(shape))}</text>'
    )


def _box(answer: Description, box: _Box) -> str:
    if box.number < 0:
        name = "input" if box.number == -1 else "output"
        shapes = ", ".join(volume(shape) for shape in answer.inputs)
        return _drawn(box, name, shapes if box.number == -1 else "", "#1c1f24")
    layer = answer.layers[box.number]
    detail = [layer.operation]
    if layer.parameters:
        detail.append(f"{metric(layer.parameters)} parameters")
    field = field_words(layer.receptive_field)
    if field:
        detail.append(f"field {field}")
    return _drawn(box, layer.name, " · ".join(detail), _colour(layer.operation))


def _drawn(box: _Box, name: str, detail: str, colour: str) -> str:
    return (
        f"<g><title>{escape(name)}: {escape(detail)}</title>"
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" '
        f'fill="#f5f7f9" stroke="{colour}" stroke-width="1.5"/>'
        f'<text x="{box.middle:.0f}" y="{box.y + 18:.0f}" font-size="12" font-weight="600" '
        f'text-anchor="middle" fill="#1c1f24">{escape(shortened(name, 34))}</text>'
        f'<text x="{box.middle:.0f}" y="{box.y + 34:.0f}" font-size="9.5" text-anchor="middle" '
        f'fill="#454d57">{escape(shortened(detail, 52))}</text></g>'
    )


def _colour(operation: str) -> str:
    lower = operation.lower()
    for words, colour in _FAMILIES:
        if any(word in lower for word in words):
            return colour
    return "#8a939d"
