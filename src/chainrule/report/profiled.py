"""How a step's profile looks in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.report.terminal import renderable
from chainrule.training.phases import StepProfile


@renderable.register
def profiled(answer: StepProfile) -> RenderableType:
    """Phases with their shares, then the operations of the traced steps."""
    phases = _table("a step", "ms", "share")
    for name, seconds in [*answer.phases.items(), ("between", _between(answer))]:
        phases.add_row(name, f"{seconds * 1e3:.3f}", f"{seconds / answer.seconds:.0%}")
    phases.add_row("in all", f"{answer.seconds * 1e3:.3f}", "100%")
    operations = _table("operation (itself)", "ms", "calls")
    for item in answer.operations:
        operations.add_row(item.name, f"{item.seconds * 1e3:.3f}", f"{item.calls:g}")
    return Group(phases, Text(""), operations, Text(""), Text(f"trace  {answer.trace}"))


def _between(answer: StepProfile) -> float:
    return max(0.0, answer.seconds - sum(answer.phases.values()))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=place == 0)
    return table
