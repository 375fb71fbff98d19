"""Descriptions in every medium: what is shown adds up, and every file can be read back."""

from __future__ import annotations

import csv
import io
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.reference.architectures import UNet, efficientnet_b0

from chainrule.analysis.compare import compare
from chainrule.analysis.convolutionalize import convolutionalization
from chainrule.analysis.describe import describe
from chainrule.analysis.effective import effective_field
from chainrule.errors import RecipeError, RunError
from chainrule.report.columns import COLUMNS, chosen, field_words, rows_of
from chainrule.report.export import FORMATS, as_csv, as_latex, as_markdown, export
from chainrule.report.graph_picture import graph_picture
from chainrule.report.page import html, page
from chainrule.report.text import text

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
NETWORK = "INPUT 32x32x1, CONV5-10, RELU, POOL2, RES[CONV3-10, BN], FC-10"


def matches(name: str, shown: str) -> None:
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(shown + "\n", encoding="utf-8")
    assert shown + "\n" == path.read_text(encoding="utf-8")


def test_the_table_as_text_at_several_widths() -> None:
    answer = describe(NETWORK, memory="1GB", prove=True)
    matches("description", text(answer, 140))
    matches("description-narrow", text(answer, 60))


def test_the_other_answers_as_text() -> None:
    pair = compare([NETWORK, "INPUT 32x32x1, CONV7-10, POOL2"], names=["small", "large"])
    matches("networks-compared", text(pair, 100))
    answer, _ = convolutionalization("INPUT 8x8x1, CONV3-4, RELU, POOL2, FC-10")
    assert "Conv2d 4x4, 4 to 10" in text(answer)
    found = effective_field("INPUT 12x12x1, CONV3-2, CONV3-2", count=2)
    assert "theoretical field  5x5, inside the input 5 x 5" in text(found)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_no_line_is_wider_than_asked(width: int) -> None:
    shown = text(describe(NETWORK), width)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert "25,610" in shown


def test_rows_add_up_to_the_totals() -> None:
    answer = describe("resnet18")
    rows = list(csv.DictReader(io.StringIO(as_csv(answer))))
    for column, total in (
        ("parameters", answer.totals.parameters),
        ("macs", answer.totals.macs),
        ("memory", answer.totals.activation_bytes),
    ):
        assert sum(int(row[column]) for row in rows) == total
    kept = sum(int(row["kept"]) for row in rows)
    assert kept + 4 * 3 * 224 * 224 == answer.totals.training_bytes  # the input is kept too


def test_every_column_can_be_shown() -> None:
    answer = describe(NETWORK)
    rows = rows_of(answer, list(COLUMNS))
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert chosen(" layer, FIELD ") == ("layer", "field")
    with pytest.raises(RecipeError, match="did you mean 'field'"):
        chosen("layer,feild")


def test_fields_in_words() -> None:
    u_net = describe(UNet(2, 4), (1, 64, 64)).layers[-1].receptive_field
    assert field_words(u_net) == "188..204x188..204"
    rows = describe(efficientnet_b0(), (3, 224, 224)).layers
    words = [field_words(row.receptive_field) for row in rows]
    assert "851x851 + all" in words
    assert words[-1] == "all"


def test_markdown_and_latex_are_tables() -> None:
    answer = describe("INPUT 8x8x1, CONV3-4, RELU")
    lines = as_markdown(answer).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    latex = as_latex(answer, ["layer", "clipped"])
    assert latex.count(r" \\") == 5
    assert r"44 \%" in latex


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_written_whole(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    export(describe(NETWORK), path)
    written = path.read_text(encoding="utf-8")
    if ending == ".json":
        assert json.loads(written)["totals"]["parameters"] > 0
    if ending == ".svg":
        ET.fromstring(written)
    assert "conv1" in written


def test_other_endings_and_folders_that_are_not_there_are_refused(tmp_path: Path) -> None:
    answer = describe("INPUT 4, FC-3")
    with pytest.raises(RunError, match=r"ends in \.json, \.md"):
        export(answer, tmp_path / "a.xlsx")
    with pytest.raises(RunError, match="choose another file"):
        export(answer, tmp_path / "no" / "a.md")


def test_the_graph_has_every_layer_and_every_arrow() -> None:
    answer = describe("resnet18")
    root = ET.fromstring(graph_picture(answer))
    space = "{http://www.w3.org/2000/svg}"
    titles = [item.text or "" for item in root.iter(f"{space}title")]
    for row in answer.layers:
        assert any(title.startswith(f"{row.name}:") for title in titles), row.name
    arrows = [item for item in root.iter(f"{space}path") if item.get("marker-end")]
    assert len(arrows) == len(answer.connections)
    boxes = [
        tuple(float(item.get(side) or 0) for side in ("x", "y", "width", "height"))
        for item in root.iter(f"{space}rect")
        if item.get("rx")
    ]
    for place, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, *_ in boxes[place + 1 :]:
            apart = abs(x - other_x) >= width or abs(y - other_y) >= height
            assert apart, "two boxes lie over one another"


def test_pages_hold_everything_and_ask_nobody() -> None:
    for answer in (
        describe(NETWORK, prove=True),
        compare(["lenet5", NETWORK]),
        effective_field("INPUT 12x12x1, CONV3-2", count=1),
    ):
        shown = page(answer)
        assert "<script" not in shown
        assert 'src="http' not in shown
        assert html(answer) in shown


def test_names_are_escaped() -> None:
    answer = describe("INPUT 4, FC-3", name="<b>&\"'")
    assert "<b>&" not in page(answer)
    ET.fromstring(graph_picture(answer))


def test_answers_show_themselves() -> None:
    answer = describe("INPUT 4, FC-3")
    assert "fc1" in str(answer)
    assert "<table" in answer._repr_html_()
    assert json.dumps(answer.to_dict())
