"""Derived page: derivations as HTML, with formulas as MathML and the graph as a picture."""

from __future__ import annotations

from html import escape

from latex2mathml.converter import convert

from chainrule.derivation.answer import Derivation
from chainrule.report.derived import math_lines, ratio

_STEP, _ROW, _RADIUS = 110, 64, 22
_MOST = 60  # values beyond which a picture shows nothing


def mathml(latex: str) -> str:
    """A formula as MathML, which browsers draw without help.

    Examples:
        >>> mathml("x^2")[:5]
        '<math'
    """
    return str(convert(latex)).replace("<math ", '<math displaystyle="true" ', 1)


def steps(answer: Derivation) -> list[tuple[str, list[str], list[str]]]:
    """For each step its heading, its lines as MathML, and words about it."""
    made = []
    told: set[str] = set()
    for step, (heading, lines) in zip(answer.steps, math_lines(answer), strict=True):
        words = [item for item in (*step.reasons, *step.ties) if item not in told]
        told.update(words)
        shapes = [f"shapes {step.shapes}"] if step.shapes else []
        made.append((heading, [mathml(line) for line in lines], [*shapes, *words]))
    return made


def answers(answer: Derivation) -> list[str]:
    """The gradients that were asked for, as MathML."""
    return [
        mathml(f"{ratio(answer.output, name)} = {item.latex}")
        for name, item in answer.gradients.items()
    ]


def picture(answer: Derivation) -> str:
    """The graph as SVG: values from left to right, an arrow to each that reads them."""
    depths = _depths(answer)
    if len(depths) > _MOST:
        return ""
    places = _places(depths)
    width = max(x for x, _ in places.values()) + _STEP
    height = max(y for _, y in places.values()) + _ROW
    lines = [_arrow(places[a], places[b]) for a, b in _links(answer) if a in places]
    discs = [_disc(name, *places[name], name in answer.gradients) for name in places]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" role="img" '
        'aria-label="graph of values"><defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#5c6570"/>'
        f"</marker></defs>{''.join(lines)}{''.join(discs)}</svg>"
    )


def _links(answer: Derivation) -> list[tuple[str, str]]:
    """Pairs of a name and one that reads it, leaves included."""
    found = [(value.name, reader) for value in answer.values for reader in value.read_by]
    for name, item in answer.gradients.items():
        known = any(name == value.name for value in answer.values)
        pairs = {tuple(path.split(" -> ")[:2]) for path in item.paths if " -> " in path}
        found += [] if known else sorted((a, b) for a, b in pairs)
    return found


def _depths(answer: Derivation) -> dict[str, int]:
    """How far each name lies from the inputs."""
    depths: dict[str, int] = {}
    links = _links(answer)
    inner = [value.name for value in answer.values]
    for name in inner:
        before = [depths.get(a, 0) for a, b in links if b == name]
        depths[name] = 1 + max(before, default=0)
    leaves = dict.fromkeys(a for a, _ in links if a not in depths)
    first = {leaf: min(depths[b] for a, b in links if a == leaf) - 1 for leaf in leaves}
    return {**first, **depths}


def _places(depths: dict[str, int]) -> dict[str, tuple[int, int]]:
    columns: dict[int, list[str]] = {}
    for name, depth in depths.items():
        columns.setdefault(depth, []).append(name)
    tallest = max(len(names) for names in columns.values())
    return {
        name: (depth * _STEP + 50, int((row + (tallest - len(names)) / 2) * _ROW) + 40)
        for depth, names in columns.items()
        for row, name in enumerate(names)
    }


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<path d="M{x1 + _RADIUS} {y1}C{x1 + 60} {y1} {x2 - 60} {y2} {x2 - _RADIUS - 2} {y2}" '
        'fill="none" stroke="#5c6570" stroke-width="1.2" marker-end="url(#to)"/>'
    )


def _disc(name: str, x: int, y: int, wanted: bool) -> str:
    colour = "#2f6f9f" if wanted else "#5c6570"
    size = 13 if len(name) <= 5 else 10
    return (
        f'<ellipse cx="{x}" cy="{y}" rx="{max(_RADIUS, 4 * len(name))}" ry="{_RADIUS - 4}" '
        f'fill="#f5f7f9" stroke="{colour}" stroke-width="1.6"/><text x="{x}" y="{y + 4}" '
        f'text-anchor="middle" font-size="{size}" fill="#1d232a">{escape(name)}</text>'
    )
