"""Putting out: an answer as a page, as one JSON object, or as tables, alike for every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from chainrule.cli.script_words import finite


def put_out(answer: Any, html: Path | None = None, json_output: bool = False) -> None:
    """Write the page where one is wanted; print JSON or tables to standard output.

    Args:
        answer: what a command found.
        html: file of its page, None for none.
        json_output: JSON instead of tables; what is not finite is null there, as JSON wants it.

    Raises:
        RunError: the page cannot be written.
    """
    from chainrule.report.page import write_page
    from chainrule.report.terminal import show

    if html is not None:
        write_page(answer, html)
        typer.echo(f"written: {html}", err=True)
    if json_output:
        typer.echo(json.dumps(finite(answer.to_dict())))
    else:
        show(answer)
