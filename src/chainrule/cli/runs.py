"""``chainrule runs``: list, show, compare and remove kept runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

runs_app = typer.Typer(
    name="runs", help="Kept runs: list, show, compare and remove.", rich_markup_mode="rich"
)

Folder = Annotated[Path, typer.Option("--runs", help="Folder where runs are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
RUNS = Path("runs")


@runs_app.callback(invoke_without_command=True)
def runs(context: typer.Context, folder: Folder = RUNS, json_output: AsJson = False) -> None:
    """Kept runs: list, show, compare and remove."""
    context.obj = folder
    if context.invoked_subcommand is None:
        _list(folder, json_output)


@runs_app.command("list")
def list_command(folder: Folder = RUNS, json_output: AsJson = False) -> None:
    """One line per run, the newest last."""
    _list(folder, json_output)


@runs_app.command("show")
def show_command(
    run: Annotated[str, typer.Argument(help="Identifier, its beginning, or 'last'.")] = "last",
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    folder: Folder = RUNS,
    json_output: AsJson = False,
) -> None:
    """What a run was made of and what it reached."""
    from chainrule.report.page import write_page
    from chainrule.training.archive import load_result

    store = _store(folder)
    record = store.run(run)
    result = load_result(store, record.id)
    if html is not None:
        write_page(result or record, html)
        typer.echo(f"written: {html}", err=True)
    if json_output:
        _print_json(record)
        return
    _show(record)
    if result is not None:
        _show(result)


@runs_app.command("compare")
def compare_command(
    runs: Annotated[list[str], typer.Argument(help="Two or more runs.")],
    folder: Folder = RUNS,
    json_output: AsJson = False,
) -> None:
    """Recipes and final numbers of several runs side by side."""
    from chainrule.errors import RunError
    from chainrule.record.run import compare

    if len(runs) < 2:
        raise RunError(f"compare got {len(runs)} run, wants two or more: name another")
    store = _store(folder)
    _print(compare([store.run(run) for run in runs]), json_output)


@runs_app.command("remove")
def remove_command(
    runs: Annotated[list[str], typer.Argument(help="Runs to remove with their checkpoints.")],
    folder: Folder = RUNS,
) -> None:
    """Remove runs from the store and from the disk."""
    store = _store(folder)
    for identifier in [store.run(run).id for run in runs]:
        store.remove(identifier)
        typer.echo(f"removed: {identifier}")


def _store(folder: Path) -> Any:
    from chainrule.record.store import RunStore

    return RunStore(folder)


def _list(folder: Path, json_output: bool) -> None:
    _print(_store(folder).runs(), json_output)


def _print(answer: Any, json_output: bool) -> None:
    if json_output:
        _print_json(answer)
    else:
        _show(answer)


def _print_json(answer: Any) -> None:
    typer.echo(json.dumps(answer.to_dict()))


def _show(answer: Any) -> None:
    from chainrule.report.terminal import show

    show(answer)
