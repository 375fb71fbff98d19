"""Export: the table of a network as JSON, Markdown, CSV or LaTeX, its graph as SVG."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from chainrule.analysis.description import Description
from chainrule.errors import RunError
from chainrule.record.atomic import write_atomically
from chainrule.report.columns import COLUMNS, DEFAULT, rows_of

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def as_json(answer: Description, columns: Sequence[str] = DEFAULT) -> str:
    """Everything, as one JSON object."""
    return json.dumps(answer.to_dict(), indent=2) + "\n"


def as_markdown(answer: Description, columns: Sequence[str] = DEFAULT) -> str:
    """A table as GitHub and most renderers read it.

    Examples:
        >>> from chainrule.analysis.describe import describe
        >>> print(as_markdown(describe("INPUT 32x32x1, CONV5-10"), ["layer", "parameters"]))
        | layer | parameters |
        | --- | ---: |
        | input |  |
        | conv1 | 10 x (5x5x1 + 1) = 260 |
        | total | 260 |
        <BLANKLINE>
    """
    heads = [COLUMNS[name].title for name in columns]
    rules = ["---" if COLUMNS[name].left else "---:" for name in columns]
    rows = [[cell.replace("|", r"\|") for cell in row] for row in rows_of(answer, columns)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, rules, *rows))


def as_csv(answer: Description, columns: Sequence[str] = DEFAULT) -> str:
    """Numbers without units, one row per layer, for spreadsheets and pandas."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for layer in answer.layers:
        writer.writerow([_PLAIN.get(name, COLUMNS[name].cell)(layer) for name in columns])
    return stream.getvalue()


_PLAIN: dict[str, Callable[..., object]] = {
    "parameters": lambda row: row.parameters,
    "trainable": lambda row: row.trainable,
    "buffers": lambda row: row.buffers,
    "macs": lambda row: row.macs,
    "flops": lambda row: row.flops,
    "backward-macs": lambda row: row.backward_macs,
    "backward-flops": lambda row: row.backward_flops,
    "memory": lambda row: row.activation_bytes,
    "kept": lambda row: row.saved_bytes,
}


def as_latex(answer: Description, columns: Sequence[str] = DEFAULT) -> str:
    """A tabular with booktabs rules."""
    heads = [COLUMNS[name].title for name in columns]
    sides = "".join("l" if COLUMNS[name].left else "r" for name in columns)
    *body, last = rows_of(answer, columns)
    lines = [r"\begin{tabular}{" + sides + "}", r"\toprule", _line(heads), r"\midrule"]
    lines += [_line(row) for row in body]
    lines += [r"\midrule", _line(last), r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    escaped = ("".join(_LATEX.get(letter, letter) for letter in cell) for cell in cells)
    return " & ".join(escaped) + r" \\"


def as_svg(answer: Description, columns: Sequence[str] = DEFAULT) -> str:
    """The picture of the graph."""
    from chainrule.report.graph_picture import graph_picture

    return graph_picture(answer)


def as_html(answer: Description, columns: Sequence[str] = DEFAULT) -> str:
    """The whole answer as one page."""
    from chainrule.report.page import page

    return page(answer)


FORMATS: dict[str, Callable[..., str]] = {
    ".json": as_json,
    ".md": as_markdown,
    ".csv": as_csv,
    ".tex": as_latex,
    ".svg": as_svg,
    ".html": as_html,
}


def export(answer: Description, path: Path, columns: Sequence[str] = DEFAULT) -> None:
    """Write a description in the format that the file's ending says, whole or not at all.

    Args:
        answer: what to write.
        path: ends in .json, .md, .csv, .tex, .svg or .html.
        columns: columns of the table.

    Raises:
        RunError: an ending that is not known, or the file cannot be written.
    """
    write = FORMATS.get(path.suffix.lower())
    if write is None:
        raise RunError(f"export got '{path}', wants a file that ends in {', '.join(FORMATS)}")
    try:
        write_atomically(path, write(answer, columns).encode())
    except OSError as error:
        raise RunError(
            f"'{path}' cannot be written: {error.strerror or error}; choose another file"
        ) from None
