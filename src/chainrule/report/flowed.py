"""Flowed: how flows look on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.gradients.flow_answer import Flow, LayerFlow, RecurrentMatrix
from chainrule.report.fitting import FittingTable
from chainrule.report.terminal import facts, renderable
from chainrule.report.words import volume

COLUMNS = ("layer", "operation", "output", "mean", "std", "zero", "saturated", "dead", "gradient",
           "update", "largest", "smallest", "rms")  # fmt: skip
_LEFT = ("layer", "operation")
_FIRST_TO_GO = ("operation", "output", "mean", "smallest", "rms", "largest", "zero")
LEGEND = (
    "gradient: norm for one example, by the output; update: norm of one step / norm of the "
    "parameters, usually about 1e-3; largest, smallest, rms: singular values of the Jacobian"
)


@renderable.register
def _flow(answer: Flow) -> RenderableType:
    cells = [row_cells(row) for row in answer.layers]
    table = FittingTable(COLUMNS, cells, _LEFT, _FIRST_TO_GO, "layer")
    parts: list[RenderableType] = [table, Text("")]
    if answer.recurrent:
        parts += [_recurrent(answer.recurrent), Text("")]
    return Group(*parts, facts(fact_rows(answer) + finding_rows(answer)))


def row_cells(row: LayerFlow) -> list[str]:
    """The cells of one layer, in the order of ``COLUMNS``."""
    values = row.jacobian
    again = f" ({row.calls} calls)" if row.calls > 1 else ""
    return [
        f"{row.name}{again}",
        row.operation,
        volume(row.shape),
        short(row.mean),
        short(row.std),
        share(row.zero),
        share(row.saturated),
        "-" if row.dead is None else f"{row.dead}/{row.units}",
        short(row.gradient_norm),
        short(row.update_ratio),
        short(values.largest if values else None),
        short(values.smallest if values else None),
        short(values.rms if values else None),
    ]


def short(value: float | None) -> str:
    """A number in at most seven characters.

    Examples:
        >>> short(0.0001234), short(1.5), short(None), short(-123456.0), short(0.0)
        ('1.2e-04', '1.5', '-', '-1.2e+05', '0')
    """
    if value is None:
        return "-"
    return f"{value:.1e}" if value and not 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share in whole per cent, honest at both ends.

    Examples:
        >>> share(0.5), share(0.0), share(0.001), share(0.999), share(None)
        ('50 %', '0 %', '<1 %', '>99 %', '-')
    """
    if value is None:
        return "-"
    if 0 < value < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < value < 1 else f"{100 * value:.0f} %"


def _recurrent(matrices: tuple[RecurrentMatrix, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in RECURRENT:
        left = name == "recurrent matrix"
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for cells in recurrent_rows(matrices):
        table.add_row(*(Text(cell) for cell in cells))
    return table


RECURRENT = ("recurrent matrix", "largest", "smallest", "spectral radius", "steps")


def recurrent_rows(matrices: tuple[RecurrentMatrix, ...]) -> list[list[str]]:
    """The cells of each recurrent matrix, in the order of ``RECURRENT``."""
    return [
        [
            item.name,
            short(item.largest),
            short(item.smallest),
            short(item.spectral_radius),
            "-" if item.steps is None else f"{item.steps}",
        ]
        for item in matrices
    ]


def fact_rows(answer: Flow) -> list[tuple[str, str]]:
    """What was looked at, and how."""
    rows = [
        ("network", answer.network),
        ("looked at", f"{answer.examples:,} inputs in {answer.mode} mode"),
        ("loss", f"{answer.loss} {short(answer.loss_value)}"),
        ("update", answer.update),
        ("dead", f"units that are off for all {answer.examples:,} inputs at all positions"),
        ("saturated", "slope below 5 % of its maximum (tanh: |x| > 2.18, sigmoid: |x| > 4.36)"),
        ("columns", LEGEND),
    ]
    rows = [row for row in rows if _matters(row[0], answer)]
    return rows + [("note", note) for note in answer.notes]


def _matters(name: str, answer: Flow) -> bool:
    if name == "dead":
        return any(row.dead is not None for row in answer.layers)
    return name != "saturated" or any(row.saturated is not None for row in answer.layers)


def finding_rows(answer: Flow) -> list[tuple[str, str]]:
    """What is not as it should be, in words; one row that says so where all is."""
    if not answer.findings:
        return [("findings", "none")]
    return [
        (item.code, f"{item.meaning}; {item.remedy}" if item.remedy else item.meaning)
        for item in answer.findings
    ]
