"""The application: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from chainrule._version import __version__
from chainrule.cli.check import check_command
from chainrule.cli.curvature import curvature_command
from chainrule.cli.derive import derive_command
from chainrule.cli.describe import (
    compare_command,
    convolutionalize_command,
    describe_command,
)
from chainrule.cli.diagnose import diagnose_command
from chainrule.cli.flow import flow_command
from chainrule.cli.pack import pack_command
from chainrule.cli.practice import practice_app
from chainrule.cli.runs import runs_app
from chainrule.cli.study import study_command
from chainrule.cli.sweep import sweep_command
from chainrule.cli.train import train_command
from chainrule.cli.watch import watch_command
from chainrule.errors import ChainruleError

# Typer brings its own copy of click since 0.20 and the real one before: ask it which
_ClickError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

app = typer.Typer(
    name="chainrule",
    help="Answers about neural networks in PyTorch, computed and then proved a second way.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # a plain overview costs no import of rich panels
)


class PanelCommand(TyperCommand):
    """A command with many options: its help is grouped in panels."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"rich_markup_mode": "rich"})


app.command("describe", cls=PanelCommand)(describe_command)
app.command("check", cls=PanelCommand)(check_command)
app.command("derive", cls=PanelCommand)(derive_command)
app.command("curvature", cls=PanelCommand)(curvature_command)
app.command("flow", cls=PanelCommand)(flow_command)
app.command("compare", cls=PanelCommand)(compare_command)
app.command("convolutionalize", cls=PanelCommand)(convolutionalize_command)
app.command("train", cls=PanelCommand)(train_command)
app.command("sweep", cls=PanelCommand)(sweep_command)
app.command("pack", cls=PanelCommand)(pack_command)
app.command(
    "watch",
    cls=PanelCommand,
    options_metavar="[OPTIONS] SCRIPT [ITS ARGUMENTS]...",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)(watch_command)
app.command(
    "diagnose",
    cls=PanelCommand,
    options_metavar="[OPTIONS] SCRIPT [ITS ARGUMENTS]...",
    context_settings={
        "allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False,
    },
)(diagnose_command)  # fmt: skip
app.command("study", cls=PanelCommand)(study_command)
app.add_typer(practice_app)
app.add_typer(runs_app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chainrule {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Answers about neural networks in PyTorch, computed and then proved a second way."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(args=arguments, prog_name="chainrule", standalone_mode=False)
    except _ClickError as error:
        return _refuse(_words(error), 2)
    except ChainruleError as error:
        return _refuse(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _refuse("stopped", 130)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _words(error: Exception) -> str:
    """What the command line did not understand, in one line."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(str(message).split())


def _refuse(message: str, code: int) -> int:
    typer.echo(f"error: {message}", err=True)
    return code
