"""Checked: how gradient checks look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.gradients.result import Culprit, GradientCheck, TensorCheck
from chainrule.report.terminal import facts, renderable
from chainrule.report.words import duration

STYLES = {"correct": "green", "kink": "yellow", "cannot-tell": "yellow", "wrong": "bold red"}
_WORDS = {
    "correct": "correct",
    "kink": "correct beside a kink: at this very point there is no gradient, only a choice",
    "cannot-tell": "cannot tell at this precision",
    "wrong": "wrong",
}
_COLUMNS = ("tensor", "shape", "compared", "error", "analytic", "numeric", "bound", "verdict")
_FIRST_TO_GO = ("shape", "numeric", "bound", "analytic", "compared")


@renderable.register
def _check(answer: GradientCheck) -> RenderableType:
    parts: list[RenderableType] = [Rows(answer), facts(note_rows(answer)), Text("")]
    parts.append(Text(verdict_words(answer), style=STYLES[answer.verdict]))
    if answer.culprit is not None:
        parts.append(facts(culprit_rows(answer.culprit)))
    parts.append(facts(fact_rows(answer)))
    for title, part in (("penalty", answer.regularization), ("second order", answer.second_order)):
        if part is not None:
            heading = Text(f"{title}: {part.target}", style="bold")
            parts += [Text(""), heading, Rows(part), facts(note_rows(part))]
    return Group(*parts)


class Rows:
    """One row for each tensor, with the columns that fit.

    Args:
        answer: a check.
    """

    def __init__(self, answer: GradientCheck) -> None:
        self._answer = answer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        columns = list(_COLUMNS)
        for name in _FIRST_TO_GO:
            table = _drawn(self._answer, columns)
            if console.measure(table, options=options.update(width=1000)).maximum <= (
                options.max_width
            ):
                break
            columns.remove(name)
        yield _drawn(self._answer, columns)


def _drawn(answer: GradientCheck, columns: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        left = name in ("tensor", "verdict")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in answer.tensors:
        cells = {
            name: Text(cell, style=STYLES[row.verdict] if name == "verdict" else "")
            for name, cell in zip(_COLUMNS, row_cells(row), strict=True)
        }
        table.add_row(*(cells[name] for name in columns))
    return table


def row_cells(row: TensorCheck) -> list[str]:
    """The cells of one tensor; its worst element with its place."""
    compared = (
        f"{row.compared:,}"
        if row.compared == row.elements
        else (f"{row.compared:,} + {row.directions} dir.")
    )
    return [
        row.name,
        "x".join(map(str, row.shape)) or "scalar",
        compared,
        f"{row.max_relative_error:.1e}",
        f"{row.analytic:.3g}",
        f"{row.numeric:.3g}",
        f"{row.bound:.1e}",
        verdict_cell(row),
    ]


def verdict_cell(row: TensorCheck) -> str:
    """The verdict, with the place of what is wrong."""
    if row.verdict == "wrong" and row.where is not None:
        return f"wrong at [{', '.join(map(str, row.where))}]"
    return row.verdict


def note_rows(answer: GradientCheck) -> list[tuple[str, str]]:
    """What must be added to single tensors."""
    rows = []
    for row in answer.tensors:
        parts = [row.note] if row.note else []
        if row.kinks:
            parts.append(f"{row.kinks} differences went across a kink and were taken anew")
        if row.unresolved:
            parts.append(f"{row.unresolved} elements are too small to tell at this precision")
        rows.append((row.name, "; ".join(parts)))
    return rows


def verdict_words(answer: GradientCheck) -> str:
    """The verdict in a sentence."""
    count = sum(row.verdict == answer.verdict for row in answer.tensors)
    if answer.verdict == "wrong":
        return f"wrong: the gradients of {count} of {len(answer.tensors)} tensors"
    return f"{_WORDS[answer.verdict]}"


def culprit_rows(culprit: Culprit) -> list[tuple[str, str]]:
    """What is known of the operation to blame."""
    place = "" if culprit.file is None else f"{shortest(culprit.file)}:{culprit.line}"
    defined = ""
    if culprit.defined:
        path, _, line = culprit.defined.rpartition(":")
        defined = f"{shortest(path)}:{line}"
    layer = f" in layer {culprit.layer}" if culprit.layer else ""
    shown = f"{culprit.analytic:.4g}, wants {culprit.numeric:.4g}"
    like = f": {culprit.looks_like}" if culprit.looks_like else ""
    return [
        ("culprit", f"{culprit.operation}{layer}, its gradient by {culprit.argument}{like}"),
        ("called at", place),
        ("its backward", "" if defined == place else defined),
        ("it gives", shown),
    ]


def shortest(path: str) -> str:
    """A path as short as it can be from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def fact_rows(answer: GradientCheck) -> list[tuple[str, str]]:
    """How it was checked, and what else was noticed."""
    loss = ""
    if answer.loss is not None:
        expected = answer.expected_loss
        loss = f"{answer.loss:.4g}" + ("" if expected is None else f", expected {expected:.4g}")
    forward = "" if answer.forward_mode is None else f"agrees to {answer.forward_mode:.1e}"
    rows = [
        ("differences", f"{answer.method}, {answer.mode}, {answer.dtype}, "
         f"{answer.evaluations:,} evaluations in {duration(answer.seconds)}"),
        ("read as", "relative error: 1e-7 fine, 1e-4 suspicious beside kinks, 1e-2 wrong; the "
         "bound decides where gradients are small"),
        ("forward mode", forward),
        ("loss at start", loss),
    ]  # fmt: skip
    rows += [("note", note) for note in answer.notes]
    for finding in answer.findings:
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        rows.append((finding.code, f"{finding.meaning}{remedy}"))
    return rows
