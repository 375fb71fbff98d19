"""How an experiment looks: claim, set-up, parts with their numbers, verdict; page with pictures."""

from __future__ import annotations

import math

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from chainrule.report.page import html, render, title
from chainrule.report.studied_pictures import moves, studied_picture
from chainrule.report.terminal import facts, renderable
from chainrule.report.words import duration, number
from chainrule.study.experiment import StudyList, StudyResult, StudyResults
from chainrule.study.measured import WORST, Measured, Part
from chainrule.study.picture import Table

_MARKS = {"holds": "✓", "fails": "✗", "undecided": "?"}
_COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow"}
HEADS = ("", "what the claim says", "measured", "wanted")


def measured_words(found: Measured) -> str:
    """A number with its unit and spread.

    Examples:
        >>> measured_words(Measured("fall", 12.34, 10.0, 14.7, "%", 5))
        '12.34 % (10 to 14.7; 5 runs)'
        >>> measured_words(Measured("largest gradient", 0.0, 0.0, 0.0, runs=5, spread=WORST))
        '0 (worst of 5 runs)'
    """
    unit = f" {found.unit}" if found.unit else ""
    if found.runs == 1:
        return f"{_short(found.value)}{unit}"
    if found.spread == WORST:
        return f"{_short(found.value)}{unit} (worst of {found.runs} runs)"
    spread = f"{_short(found.low)} to {_short(found.high)}; {found.runs} runs"
    return f"{_short(found.value)}{unit} ({spread})"


def wanted_words(part: Part) -> str:
    """The bound of a part."""
    if part.at_least == part.at_most:
        return f"exactly {_short(part.at_least)}"
    low = f"at least {_short(part.at_least)}" if part.at_least > -math.inf else ""
    high = f"at most {_short(part.at_most)}" if part.at_most < math.inf else ""
    if low and high:
        return f"{_short(part.at_least)} to {_short(part.at_most)}"
    return low or high


def _short(value: float) -> str:
    if value == int(value) if math.isfinite(value) else False:
        return f"{int(value):,}" if abs(value) < 1e15 else number(value)
    return number(float(value))


def part_cells(part: Part) -> tuple[str, str, str, str]:
    """Mark, statement, measurement and bound in words."""
    says = f"{part.when}: {part.says}" if part.when else part.says
    if part.beside:
        says += " (not counted)"
    return _MARKS[part.status], says, _named(part.measured), wanted_words(part)


def _named(found: Measured) -> str:
    return f"{found.name}: {measured_words(found)}"


@renderable.register
def _study(answer: StudyResult) -> RenderableType:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    table.add_column(HEADS[0], no_wrap=True)
    for head, share in zip(HEADS[1:], (5, 5, 2), strict=True):
        table.add_column(head, overflow="fold", ratio=share)
    for part in answer.parts:
        mark, *cells = part_cells(part)
        table.add_row(Text(mark, style=_COLOURS[part.status]), *(Text(cell) for cell in cells))
    above = facts(
        [
            ("claim", answer.claim),
            ("hypothesis", answer.hypothesis),
            ("set-up", answer.set_up),
            ("broken", answer.sabotaged),
        ]
    )
    below = facts(_end(answer))
    tables = [part for item in answer.tables for part in (Text(""), Padding(_rich(item), (0, 0)))]
    heading = Text(f"{answer.name}: {answer.title}", style="bold")
    return Group(heading, Text(""), above, Text(""), table, *tables, Text(""), below)


def _end(answer: StudyResult) -> list[tuple[str, str]]:
    rows = [("verdict", answer.verdict.words)]
    rows += [("note", note) for note in answer.notes]
    rows += [("next", step) for step in answer.next]
    rows += [("see", reference) for reference in answer.references]
    return [*rows, ("run", f"seed {answer.seed}, {duration(answer.seconds)}")]


def _rich(table: Table) -> RichTable:
    made = RichTable(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(table.heads):
        cells = [row[place] for row in table.rows]
        right = all(not isinstance(cell, str) for cell in cells)
        made.add_column(head, justify="right" if right else "left")
    for row in table.rows:
        made.add_row(*(Text(_cell(cell)) for cell in row))
    return made


def _cell(value: str | float | int) -> str:
    return value if isinstance(value, str) else _short(value)


@renderable.register
def _list(answer: StudyList) -> RenderableType:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment", no_wrap=True)
    table.add_column("question", overflow="fold")
    for name, question, _ in answer.experiments:
        table.add_row(name, Text(question))
    return Group(table, Text(""), Text("chainrule study NAME runs one, --html FILE draws it"))


@renderable.register
def _results(answer: StudyResults) -> RenderableType:
    parts: list[RenderableType] = []
    for result in answer.results:
        parts += [renderable(result), Text("")]
    return Group(*parts[:-1])


@title.register
def _study_title(answer: StudyResult) -> str:
    return answer.title


@html.register
def _study_page(answer: StudyResult) -> str:
    drawn = [(picture, studied_picture(picture)) for picture in answer.pictures]
    return render(
        "study.html",
        answer=answer,
        heads=HEADS,
        rows=[(part.status, part_cells(part)) for part in answer.parts],
        tables=[(item.heads, [[_cell(cell) for cell in row] for row in item.rows])
                for item in answer.tables],
        pictures=[(picture, Markup(text), moves(text)) for picture, text in drawn],
    )  # fmt: skip


@title.register
def _results_title(answer: StudyResults) -> str:
    return f"{len(answer.results)} experiments"


@html.register
def _results_page(answer: StudyResults) -> str:
    return "".join(
        f'<h2 id="{result.name}">{Markup.escape(result.title)}</h2>{html(result)}'
        for result in answer.results
    )
