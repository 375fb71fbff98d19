"""Reports: what is printed and drawn is what was measured; nothing breaks at the edges."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from chainrule.analysis.table import LayerRow, NetworkTable
from chainrule.record.run import RunComparison, RunList, RunRecord
from chainrule.report import figures
from chainrule.report.page import html, page
from chainrule.report.statistics import top_confusions, wilson_interval
from chainrule.report.text import text
from chainrule.report.words import sparkline
from chainrule.training.result import Mistake, TrainingResult

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"

TABLE = NetworkTable(
    network="CONV5-10, POOL2, FC-10",
    input=(1, 32, 32),
    rows=(
        LayerRow("conv1", "Conv2d 5x5", (10, 32, 32), 260, 260),
        LayerRow("pool1", "MaxPool2d 2x2, stride 2x2", (10, 16, 16), 0, 0, "1 row never seen"),
        LayerRow("fc1", "Linear", (10,), 25_610, 0),
    ),
    parameters=25_870,
    trainable=260,
)


def _result(**changes: object) -> TrainingResult:
    rng = np.random.default_rng(0)
    result = TrainingResult(
        run="20260101-000000-digits-abcd",
        folder="runs/20260101-000000-digits-abcd",
        data="digits",
        network="CONV5-10, POOL2, FC-10",
        task="classification",
        parameters=25_870,
        ended="finished",
        reason="",
        steps=1200,
        epochs=3,
        seconds=75.0,
        images_per_second=1024.0,
        test_accuracy=0.9,
        test_loss=0.25,
        curves={
            "train/data_loss": tuple((step, 2.3 / step) for step in range(1, 40)),
            "train/epoch_data_loss": ((13, 1.0), (26, 0.5), (39, 0.25)),
            "validation/loss": ((13, 1.1), (26, math.nan), (39, 0.3)),
            "validation/accuracy": ((13, 0.5), (26, 0.8), (39, 0.9)),
        },
        classes=("cat", "<script>alert(1)</script>"),
        confusion=np.array([[5, 1], [0, 4]]),
        filters=rng.normal(size=(10, 1, 5, 5)),
        mistakes=(Mistake(3, rng.random((1, 8, 8)), 0, 1, 0.75),),
        table=TABLE,
        recipe={"epochs": 3, "augment": ["crop"], "momentum": None},
    )
    return replace(result, **changes)


RECORD = RunRecord(
    id="20260101-000000-digits-abcd",
    name="digits",
    created="2026-01-01T00:00:00+00:00",
    ended="failed",
    reason="TrainingError: the data loss is nan",
    recipe={"epochs": 3},
    network="CONV5-10, POOL2, FC-10",
    data={"name": "digits", "source": "scikit-learn digits", "fingerprint": "0123456789abcdef"},
    parameters=25_870,
    versions={"torch": "2.13.0"},
    hardware={"cores": 2},
    steps=7,
    seconds=1.0,
    summary={},
    folder="runs/x",
)
ANSWERS = {
    "table": TABLE,
    "result": _result(),
    "regression": _result(
        task="regression", test_accuracy=None, confusion=None, mistakes=(), filters=None
    ),
    "runs": RunList(
        (RECORD, replace(RECORD, ended="finished", summary={"test_accuracy": 0.5})), "runs"
    ),
    "no-runs": RunList((), "runs"),
    "record": RECORD,
    "comparison": RunComparison(("a", "b"), {"epochs": (3, 5)}, {"test_accuracy": (0.5, None)}),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_text_is_the_kept_snapshot(name: str, request: pytest.FixtureRequest) -> None:
    shown = text(ANSWERS[name], width=100) + "\n"
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):  # then looked at, then committed
        path.write_text(shown)
    assert shown == path.read_text()
    assert "\x1b" not in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_the_table_adds_up() -> None:
    shown = (SNAPSHOTS / "table.txt").read_text()
    rows = [re.split(r"  +", line) for line in shown.splitlines()[2:-1]]
    column = [int(cells[3].replace(",", "")) for cells in rows]
    total = int(re.search(r"^([\d,]+) parameters", shown, re.M).group(1).replace(",", ""))
    assert sum(column) == total == TABLE.parameters
    assert "25,610 of them frozen" in shown


def test_print_and_notebooks_show_the_same_answer() -> None:
    assert str(TABLE) == text(TABLE)
    assert TABLE._repr_html_() == html(TABLE)


class _Page(HTMLParser):
    """Collects what a page refers to and every tag it opens and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []
        self.scripts = 0
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        for name in ("src", "href", "xlink:href"):
            if values.get(name):
                self.references.append(str(values[name]))
        self.scripts += tag == "script"
        if values.get("role") == "img":
            self.labels.append(str(values.get("aria-label", "")))
        if tag not in ("meta", "br", "img", "link", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_pages_stand_alone(name: str) -> None:
    whole = page(ANSWERS[name])
    parser = _Page()
    parser.feed(whole)
    assert parser.open == []
    assert parser.scripts == 0
    assert [r for r in parser.references if not r.startswith(("#", "data:"))] == []
    assert "url(http" not in whole
    assert "<title>" in whole
    assert 'lang="en"' in whole


def test_class_names_are_escaped_and_pictures_have_words() -> None:
    parser = _Page()
    whole = page(_result())
    parser.feed(whole)
    assert "alert(1)" in whole
    assert "<script" not in whole
    assert len(parser.labels) == 6
    assert all(parser.labels)


def test_pictures_on_one_page_share_no_ids() -> None:
    """Two pictures with one clip path's name blank each other out."""
    drawn = [svg for _, _, svg in _pictures()]
    ids = [set(re.findall(r'<clipPath id="([^"]+)"', svg)) for svg in drawn]
    for number, one in enumerate(ids):
        for other in ids[number + 1 :]:
            assert not one & other


def _pictures() -> list[tuple[str, str, str]]:
    from chainrule.report.page import _pictures as pictures

    return pictures(_result())


def test_grids_draw_every_tile() -> None:
    result = _result()
    assert figures.filters_picture(result.filters).count("<image") == 10
    assert figures.mistakes_picture(result.mistakes, ("a", "b")).count("<image") == 1


@pytest.mark.parametrize(
    "result",
    [
        _result(curves={}),
        _result(curves={"train/data_loss": ((1, 2.0),), "validation/loss": ((1, math.inf),)}),
        _result(
            classes=tuple(str(n) for n in range(100)), confusion=np.eye(100, dtype=int), mistakes=()
        ),
        _result(filters=np.zeros((70, 3, 7, 7))),
        _result(filters=np.ones((3, 5, 1, 1)), mistakes=()),
        _result(mistakes=(Mistake(0, np.zeros((3, 8, 8)), 0, 1, 1.0),) * 24),
        _result(network="CONV3-64, " * 60 + "FC-10", classes=("x" * 80, "y" * 80)),
        _result(task="multilabel", confusion=None, mistakes=()),
        _result(
            ended="stopped",
            reason="stopped by the user",
            test_accuracy=None,
            test_loss=None,
            confusion=None,
            mistakes=(),
        ),
    ],
    ids=[
        "no curves",
        "one point",
        "hundred classes",
        "many filters",
        "odd filters",
        "many mistakes",
        "long names",
        "multilabel",
        "stopped",
    ],
)
def test_edges(result: TrainingResult) -> None:
    assert page(result).startswith("<!doctype html>")
    assert max(len(line) for line in text(result, 80).splitlines()) <= 80


def test_a_missing_curve_says_so() -> None:
    assert "not recorded" in figures.accuracy_curves(_result(curves={}, test_accuracy=None))


def test_drawing_changes_no_settings_and_repeats() -> None:
    before = dict(mpl.rcParams)
    first, second = (figures.loss_curves(_result()) for _ in range(2))
    assert dict(mpl.rcParams) == before
    assert first == second


@pytest.mark.parametrize(("right", "count"), [(0, 5), (5, 5), (98, 100), (1, 3)])
def test_wilson_interval_solves_its_equation(right: int, count: int) -> None:
    """Both bounds p satisfy |share - p| = z sqrt(p (1 - p) / n): found here by bisection."""
    share, z = right / count, 1.959963984540054

    def excess(p: float) -> float:
        return abs(share - p) - z * math.sqrt(p * (1 - p) / count)

    low, high = wilson_interval(right, count)
    for bound, inside, outside in ((low, share, 0.0), (high, share, 1.0)):
        if inside == outside:
            assert bound == pytest.approx(outside)
            continue
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if excess(middle) > 0 else (middle, outside)
        assert bound == pytest.approx(middle, abs=1e-9)


def test_confusions_are_counted_off_the_diagonal() -> None:
    matrix = np.array([[9, 3, 0], [1, 8, 7], [0, 0, 5]])
    assert top_confusions(matrix) == [(1, 2, 7), (0, 1, 3), (1, 0, 1)]


def test_sparklines() -> None:
    assert sparkline([]) == ""
    assert sparkline([math.nan]) == ""
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert len(sparkline(list(range(1000)))) == 30
