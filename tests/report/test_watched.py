"""How a watched training looks: the table, the page, what adds up in them."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.faults.watching import digits, mlp

import chainrule
from chainrule.diagnosis.answer import LoaderSeen, Watched
from chainrule.diagnosis.places import Place
from chainrule.report.page import html, page
from chainrule.report.text import text
from chainrule.report.watched import COLUMNS, layer_cells

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "watched.txt"


@pytest.fixture(scope="module")
def answer() -> Watched:
    """A training of which every printed digit is the same everywhere."""
    torch.manual_seed(0)
    x, y = digits()
    net = mlp(64, 24, 10).double()
    optimizer = torch.optim.SGD(net.parameters(), 0.5, weight_decay=1e-4)
    with chainrule.watch(net, runs=None, share=1.0) as watching:
        for step in range(40):
            part = slice(step * 40, step * 40 + 40)
            optimizer.zero_grad()
            F.cross_entropy(net(x[part].double()), y[part]).backward()
            optimizer.step()
    return replace(watching.result, script="train.py --lr 0.5", seconds=2.0, overhead=0.03,
                   folder="runs/a", report="runs/a/report.html")  # fmt: skip


def test_table_equals_its_snapshot(answer: Watched) -> None:
    found = text(answer, width=100)
    found = re.sub(r"\(\S*test_watched\.py:\d+\)", "(train.py:9)", found)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(found + "\n", encoding="utf-8")
    assert found + "\n" == SNAPSHOT.read_text(encoding="utf-8")


def test_the_table_is_read_from_the_series(answer: Watched) -> None:
    """What stands in a row is the last point of its series."""
    for layer in answer.layers:
        cells = dict(zip(COLUMNS, layer_cells(layer), strict=True))
        last = answer.series[f"activation_mean/{layer.name}"][-1][1]
        assert float(cells["mean"]) == pytest.approx(last, rel=0.01, abs=1e-4)
        if layer.weight_norm is not None:
            parts = [
                answer.series[f"weight_norm/{layer.name}.{name}"][-1][1]
                for name in ("weight", "bias")
            ]
            assert float(cells["weights"]) == pytest.approx(math.hypot(*parts), rel=0.01)


def test_page_has_pictures_of_what_was_recorded(answer: Watched) -> None:
    found = page(answer)
    assert found.count("<svg") >= 4
    for heading in ("Loss", "Update ratio by layer", "Gradient norm by layer", "Findings"):
        assert heading in found
    assert not re.search(r"(src|href)=\"https?:", found), "nothing is fetched from elsewhere"
    assert "<table" in html(answer)


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_every_line_fits(answer: Watched, width: int) -> None:
    for line in text(answer, width=width).splitlines():
        assert len(line) <= width


def test_script_and_names_are_shown_as_they_are(answer: Watched) -> None:
    """No markup of the terminal or of the page is read into a name."""
    odd = replace(
        answer, script="[red]<b>train</b>.py", error="a [bold]crash[/] <i>", ended="failed"
    )
    assert "[red]<b>train</b>.py" in text(odd, width=140)
    assert "<b>train</b>" not in page(odd)


def test_a_training_of_which_little_was_seen() -> None:
    with chainrule.watch(runs=None) as watching:
        pass
    empty = watching.result
    assert "findings" in text(empty, width=80)
    assert "not recorded" in page(empty)


def test_loaders_made_on_one_line_are_told_in_one(answer: Watched) -> None:
    """Some programs make one for every epoch."""
    places = [Place("train.py", 3), Place("train.py", 3), Place("train.py", 9)]
    loaders = tuple(LoaderSeen(640, 64, True, False, 0, 2, place) for place in places)
    found = text(replace(answer, loaders=loaders), width=120)
    lines = [line for line in found.splitlines() if line.startswith("data")]
    assert [re.findall(r"(\d) passes \((.*)\)", line) for line in lines] == [
        [("4", "train.py:3")], [("2", "train.py:9")],
    ]  # fmt: skip
