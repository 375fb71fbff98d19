"""Text: answers as plain text, without control codes, for ``print`` and files."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

import chainrule.report.checked
import chainrule.report.curved
import chainrule.report.derived
import chainrule.report.described
import chainrule.report.diagnosed
import chainrule.report.flowed
import chainrule.report.practised
import chainrule.report.studied
import chainrule.report.watched  # noqa: F401 - registers the looks of more answers
from chainrule.report.terminal import renderable

WIDTH = 100


def text(answer: Any, width: int = WIDTH) -> str:
    """An answer as plain text of at most ``width`` columns.

    Examples:
        >>> from chainrule.analysis.table import NetworkTable
        >>> print(text(NetworkTable("FC-2", (3,), (), 0, 0)).split()[0])
        layer
    """
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, highlight=False)
    console.print(renderable(answer))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n")


def present(answer: Any, medium: str) -> str:
    """What ``chainrule.answer.connect`` wants: an answer in medium "text" or "html"."""
    if medium == "html":
        from chainrule.report.page import html

        return html(answer)
    return text(answer)
