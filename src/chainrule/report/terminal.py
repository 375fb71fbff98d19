"""Terminal: how answers look as rich tables; one function per kind of answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.analysis.table import NetworkTable
from chainrule.record.run import RunComparison, RunList, RunRecord
from chainrule.report.statistics import top_confusions, wilson_interval
from chainrule.report.words import duration, number, percent, shortened, sparkline, volume
from chainrule.training.result import TrainingResult


class PipeConsole(Console):
    """A console that reports a reader that has gone (``| head``) instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """Let the caller decide."""
        raise BrokenPipeError("the reader of the output has gone")


def show(answer: Any, *, to_error: bool = False) -> None:
    """Print an answer to standard output: colours on a terminal, plain text elsewhere.

    Args:
        answer: any answer.
        to_error: print to standard error instead.
    """
    import chainrule.report.checked
    import chainrule.report.curved
    import chainrule.report.derived
    import chainrule.report.described
    import chainrule.report.diagnosed
    import chainrule.report.flowed
    import chainrule.report.packed
    import chainrule.report.practised
    import chainrule.report.profiled
    import chainrule.report.studied
    import chainrule.report.swept
    import chainrule.report.watched  # noqa: F401 - registers the looks of more answers

    PipeConsole(stderr=to_error, highlight=False).print(renderable(answer))


@singledispatch
def renderable(answer: Any) -> RenderableType:
    """What rich prints for an answer; the answer's own text when it has no look of its own."""
    return Text(repr(answer))


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A plain table; its first column, which names the row, is never broken."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        side: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=side, overflow="fold", no_wrap=place == 0)
    return table


def facts(rows: list[tuple[str, str]]) -> Table:
    """Names and values in two columns; rows without a value are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(name, Text(value))
    return table


@renderable.register
def _network(answer: NetworkTable) -> RenderableType:
    right = ("output", "parameters")
    notes = any(row.note for row in answer.rows)
    columns = ("layer", "operation", "output", "parameters", *(("note",) if notes else ()))
    table = _table(*columns, right=right)
    table.add_row("input", "", volume(answer.input), "")
    for row in answer.rows:
        cells = [row.name, row.operation, volume(row.output), number(row.parameters)]
        table.add_row(*(Text(cell) for cell in cells), *((Text(row.note),) if notes else ()))
    frozen = answer.parameters - answer.trainable
    note = f", {number(frozen)} of them frozen" if frozen else ""
    total = Text(f"{number(answer.parameters)} parameters{note}", style="bold")
    return Group(table, total, Text(""))


@renderable.register
def _result(answer: TrainingResult) -> RenderableType:
    rows = [
        ("test accuracy", _accuracy(answer)),
        ("test loss", "" if answer.test_loss is None else f"{answer.test_loss:.4f}"),
        ("trained", _trained(answer)),
        ("training loss", _curve(answer, "train/epoch_data_loss", "{:.4f}".format)),
        ("validation", _curve(answer, "validation/accuracy", percent)),
        ("confusions", _confusions(answer)),
        ("ended", "" if answer.ended == "finished" else f"{answer.ended}: {answer.reason}"),
        ("report", _page(answer)),
        ("again", f"chainrule runs show {answer.run}{_runs_flag(answer)}"),
    ]
    profile = [] if answer.profile is None else [Text(""), renderable(answer.profile)]
    return Group(Text(""), facts(rows), *profile)


def _runs_flag(answer: TrainingResult) -> str:
    """What must be added to a command to find the run, when it is not in ./runs."""
    folder = Path(answer.folder).parent
    return "" if folder == Path("runs") else f" --runs {folder}"


def _page(answer: TrainingResult) -> str:
    page = Path(answer.folder) / "report.html"
    return str(page) if page.exists() else ""


def _accuracy(answer: TrainingResult) -> str:
    if answer.test_accuracy is None:
        return ""
    text = percent(answer.test_accuracy)
    if answer.confusion is None:
        return text
    count = int(answer.confusion.sum())
    low, high = wilson_interval(int(answer.confusion.trace()), count)
    return f"{text}  (95 % interval {percent(low)} to {percent(high)}, {count:,} examples)"


def _trained(answer: TrainingResult) -> str:
    return (
        f"{answer.steps:,} steps, {answer.epochs} epochs in {duration(answer.seconds)}, "
        f"{answer.images_per_second:,.0f} examples/s, {answer.parameters:,} parameters"
    )


def _curve(answer: TrainingResult, name: str, form: Callable[[float], str]) -> str:
    values = [value for _, value in answer.curves.get(name, ())]
    if not values:
        return ""
    first, last = form(values[0]), form(values[-1])
    return f"{first} {sparkline(values)} {last}"


def _confusions(answer: TrainingResult) -> str:
    if answer.confusion is None:
        return ""
    names = answer.classes
    found = top_confusions(answer.confusion)
    parts = [f"{names[true]} taken for {names[other]}: {times}" for true, other, times in found]
    return "; ".join(parts) or "none"


@renderable.register
def _runs(answer: RunList) -> RenderableType:
    if not answer.runs:
        return Text(f"no runs in {answer.folder}; chainrule train makes the first")
    right = ("steps", "test accuracy")
    table = _table("run", "data", "network", "ended", "steps", "test accuracy", right=right)
    for run in answer.runs:
        cells = (
            run.id,
            shortened(str(run.data.get("name", run.name)), 20),
            shortened(run.network, 32),
            run.ended,
            number(run.steps),
            percent(run.summary.get("test_accuracy")),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


@renderable.register
def _record(answer: RunRecord) -> RenderableType:
    ended = f"{answer.ended}: {answer.reason}" if answer.reason else answer.ended
    recipe = "  ".join(f"{name}={value}" for name, value in answer.recipe.items() if value)
    data = answer.data
    rows = [
        ("run", answer.id),
        ("created", answer.created),
        ("ended", ended),
        ("network", f"{answer.network} ({answer.parameters:,} parameters)"),
        ("data", f"{data.get('source', answer.name)} {str(data.get('fingerprint', ''))[:12]}"),
        ("steps", number(answer.steps)),
        ("recipe", recipe),
        ("summary", _pairs(answer.summary) if "watched" in answer.recipe else ""),
        ("versions", _pairs(answer.versions)),
        ("hardware", _pairs(answer.hardware)),
        ("folder", answer.folder),
    ]
    return facts(rows)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_told(value)}" for name, value in values.items() if value)


def _told(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else number(value)


@renderable.register
def _comparison(answer: RunComparison) -> RenderableType:
    table = _table("", *answer.runs)
    for rows in (answer.recipe, answer.numbers):
        for name, values in rows.items():
            table.add_row(Text(name), *(Text(number(value)) for value in values))
    return table
