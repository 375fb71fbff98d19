"""How a sweep looks: a table, and a page with a picture."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.report.page import html, render, title
from chainrule.report.swept_picture import sweep_picture
from chainrule.report.terminal import renderable
from chainrule.report.words import shortened
from chainrule.training.sweep import Sweep, SweepRow

_HEADS = {
    "validation_accuracy": "validation accuracy",
    "validation_loss": "validation loss",
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "seconds": "seconds",
}


def table_of(answer: Sweep, *, brief: bool = False) -> tuple[list[str], list[list[str]]]:
    """Heads and rows in words; ``brief`` keeps what the rows are ordered by and its test twin."""
    wanted = (answer.chosen_by, answer.chosen_by.replace("validation", "test"), "seconds")
    numbers = [
        name
        for name in _HEADS
        if any(name in row.means for row in answer.rows) and (name in wanted or not brief)
    ]
    heads = [*answer.axes, *(_HEADS[name] for name in numbers), "runs"]
    rows = [
        [
            *(shortened(str(row.settings[name]), 40) for name in answer.axes),
            *(_number(row, name) for name in numbers),
            _runs(row),
        ]
        for row in answer.rows
    ]
    return heads, rows


def _number(row: SweepRow, name: str) -> str:
    if name not in row.means:
        return "-"
    form = _percent if name.endswith("accuracy") else "{:.4g}".format
    spread = None if name == "seconds" else row.spreads.get(name)
    return form(row.means[name]) + ("" if spread is None else f" ± {form(spread)}")


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _runs(row: SweepRow) -> str:
    failed = f"{len(row.failures)} failed: {row.failures[0]}" if row.failures else ""
    return shortened("; ".join(part for part in (str(len(row.runs) or ""), failed) if part), 60)


@renderable.register
def _sweep(answer: Sweep) -> RenderableType:
    heads, rows = table_of(answer, brief=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        number = len(answer.axes) <= place < len(heads) - 1
        table.add_column(
            head, justify="right" if number else "left", no_wrap=place < len(heads) - 1
        )
    for row in rows:
        table.add_row(*row)
    return Group(table, Text(""), Text(_words(answer)))


def _words(answer: Sweep) -> str:
    spread = f", mean ± standard deviation of {answer.seeds} runs" if answer.seeds > 1 else ""
    return f"ordered by {_HEADS[answer.chosen_by]}{spread}; runs in {answer.folder}"


@title.register
def _sweep_title(answer: Sweep) -> str:
    return f"Sweep over {', '.join(answer.axes)}"


@html.register
def _sweep_page(answer: Sweep) -> str:
    heads, rows = table_of(answer)
    picture: Any = Markup(sweep_picture(answer))
    return render("sweep.html", heads=heads, rows=rows, words=_words(answer), picture=picture)
