"""Pictures of experiments: everything is drawn, and what moves moves along its path."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from chainrule.report.page import page
from chainrule.report.studied import measured_words, wanted_words
from chainrule.report.studied_pictures import _draw, _size, moves, picture_file, studied_picture
from chainrule.report.text import text
from chainrule.study.experiment import StudyResult
from chainrule.study.measured import Measured, Part, exact, verdict, worst_of
from chainrule.study.picture import Curve, Landscape, Panel, Picture, Table, curve

GRID = tuple(np.linspace(-1, 1, 9))
HEIGHTS = tuple(tuple(x * x + 3 * y * y for x in GRID) for y in GRID)
PATHS = (
    Curve("fast", (-0.8, 0.2, 0.0), (0.6, -0.1, 0.0)),
    Curve("lost", (-0.8, 5.0, math.inf), (0.6, -9.0, math.nan)),
)
MOVING = Picture("Paths", "two paths", (Landscape("Valley", GRID, GRID, HEIGHTS, PATHS),) * 2)


def _animated(svg: str) -> list[np.ndarray[Any, Any]]:
    """Places (x, y) of each circle in the picture's own unit."""
    values = re.findall(r'<animate attributeName="(c[xy])" values="([^"]*)"', svg)
    rows = [np.array([float(item) for item in listed.split(";")]) for _, listed in values]
    return [np.stack(pair) for pair in zip(rows[::2], rows[1::2], strict=True)]


def test_dots_walk_along_their_lines() -> None:
    """The drawn line is the referee: each stop of the dot is a corner of it."""
    svg = studied_picture(
        Picture("Paths", "one", (Landscape("V", GRID, GRID, HEIGHTS, PATHS[:1]),))
    )
    (dot,) = _animated(svg)
    lines = [
        np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", found), dtype=float)
        for found in re.findall(r'<path d="(M[^"]*)" clip-path[^>]*stroke: #0072b2', svg)
    ]
    (line,) = [points for points in lines if len(points) == 3]
    np.testing.assert_allclose(dot.T, line, atol=0.06)


def test_dots_of_lost_paths_stay_in_the_picture() -> None:
    svg = studied_picture(MOVING)
    width, height = (float(v) for v in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    found = _animated(svg)
    assert len(found) == 4
    for dot in found:
        assert (dot >= 0).all()
        assert (dot[0] <= width).all()
        assert (dot[1] <= height).all()
    assert moves(svg)
    ElementTree.fromstring(svg)


def test_files_do_not_move() -> None:
    assert picture_file(MOVING, "png").startswith(b"\x89PNG")
    assert picture_file(MOVING, "pdf").startswith(b"%PDF")
    assert not moves(picture_file(MOVING, "svg").decode())
    assert picture_file(MOVING, "png") == picture_file(MOVING, "png")


@pytest.mark.parametrize(
    "panel",
    [
        Panel("t", "x", "y", (curve("a", [1.0, math.nan, math.inf, 2.0]),)),
        Panel("t", "x", "y", (curve("a", [0.0, -1.0]),), y_log=True),
        Panel("t", "x", "y", (curve("a", [math.nan]),)),
        Panel("t", "x", "y", (Curve("a", (0, 1), (1, 2), (0.5, 1.5), (1.5, 2.5), "bars"),
                              Curve("b", (0, 1), (2, 1), kind="bars")), categories=("one", "two")),
        Panel("t", "x", "y", (Curve("a", (1, 10), (1, 2), (0.5, 1.5), (1.5, 2.5), "points"),),
              x_log=True, marks=((1.5, "half"),)),
        Panel("t", "x", "y", (Curve("a", (1, 10), (1, 2), (0.5, 1.5), (1.5, 2.5)),)),
    ],
)  # fmt: skip
def test_draws_what_may_come(panel: Panel) -> None:
    svg = studied_picture(Picture("c", "w", (panel,)))
    ElementTree.fromstring(svg)
    for one in panel.curves:
        assert f">{one.label}<" in svg
    for name in panel.categories:
        assert f">{name}<" in svg


@pytest.mark.parametrize(("count", "below"), [(4, False), (5, True), (8, True)])
@pytest.mark.parametrize("landscape", [False, True])
def test_a_long_legend_hangs_below_its_axes(count: int, below: bool, landscape: bool) -> None:
    curves = tuple(curve(f"curve {number}", [-0.5, 0.1 * number]) for number in range(count))
    panel = (
        Landscape("t", GRID, GRID, HEIGHTS, curves) if landscape else Panel("t", "x", "y", curves)
    )
    picture = Picture("c", "w", (panel,))
    figure = Figure(figsize=_size(picture), layout="constrained")
    _draw(figure, picture)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    box, inside = legend.get_window_extent(), axes.get_window_extent()
    assert (box.y1 <= inside.y0) == below
    assert box.y0 >= 0
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_words_of_a_mark_stand_right_of_the_axes() -> None:
    panel = Panel("t", "x", "y", (curve("a", [1.0, 2.0]),), marks=((2.0, "a long word"),))
    picture = Picture("c", "w", (panel,))
    figure = Figure(figsize=_size(picture), layout="constrained")
    _draw(figure, picture)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (words,) = axes.texts
    assert words.get_window_extent().x0 >= axes.get_window_extent().x1
    assert words.get_window_extent().x1 <= figure.bbox.width


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (exact("n", 260), "260"),
        (exact("n", 0.0), "0"),
        (exact("n", math.inf, "steps"), "inf steps"),
        (Measured("n", 12.34, 10.0, 14.7, "%", 5), "12.34 % (10 to 14.7; 5 runs)"),
        (worst_of("n", [0.0] * 5), "0 (worst of 5 runs)"),
        (worst_of("n", [3, 1], "pixels", largest=False), "1 pixels (worst of 2 runs)"),
        (worst_of("n", [0.5]), "0.5"),
    ],
)
def test_numbers_in_words(found: Measured, words: str) -> None:
    assert measured_words(found) == words


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"at_least": 5}, "at least 5"),
        ({"at_most": 0.05}, "at most 0.05"),
        ({"at_least": 1, "at_most": 2}, "1 to 2"),
        ({"at_least": 0, "at_most": 0}, "exactly 0"),
    ],
)
def test_bounds_in_words(bounds: dict[str, float], words: str) -> None:
    assert wanted_words(Part("x", exact("n", 1), **bounds)) == words


def test_page_and_text_hold_everything() -> None:
    parts = (Part("it is <so>", exact("n", 3, "steps"), at_least=1),
             Part("deep", exact("m", 0), at_least=1, when="at depth 9"),
             Part("on this machine", exact("time", 2), at_least=1, beside=True))  # fmt: skip
    answer = StudyResult(
        "name", "A title?", "The claim & more.", "Because.", "On digits.", "nothing", parts,
        verdict(parts), (MOVING,), (Table(("run", "loss"), (("a", 1.5),)),), ("a note",),
        ("a step",), ("a paper",), 0, 1.0,
    )  # fmt: skip
    shown, written = text(answer), page(answer)
    for word in ("A title?", "claim", "✓", "✗", "at depth 9", "at least 1", "3 steps", "1.5",
                 "a note", "a step", "a paper", "on this machine (not counted)",
                 "does not hold when at depth 9"):  # fmt: skip
        assert word in shown, word
        assert word.lower() in written.lower(), word
    assert "it is &lt;so&gt;" in written
    assert "<animate" in written
    assert "prefers-reduced-motion" in written
