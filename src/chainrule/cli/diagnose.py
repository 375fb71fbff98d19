"""``chainrule diagnose``: why a training script does not learn, with proof."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.script_words import check_writable, finite, number_of, split_words, write_text

if TYPE_CHECKING:
    from chainrule.diagnosis.verdict import Diagnosis

_SHOW = "What is shown and written"
_OPTIONS = ("json", "html", "seconds", "steps", "jobs", "seeds", "ray", "runs")
_FLAGS = ("quiet", "apply")


def diagnose_command(
    context: typer.Context,
    module: Annotated[
        str | None,
        typer.Option("-m", "--module", help="Diagnose a module, as in python -m package.module."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="About how long the diagnosis may take.")] = 120.0,
    steps: Annotated[
        int | None, typer.Option(help="Updates of each replay; by default what the time allows.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Replays at the same time; by default one for each core.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds or data orders that a proof needs.")] = 3,
    runs: Annotated[Path, typer.Option(help="Folder of recorded runs.")] = Path("runs"),
    ray: Annotated[
        str | None,
        typer.Option(help="Run replays on a Ray cluster at this address; local starts one."),
    ] = None,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Write the fix, once the changed script has learned."),
    ] = False,
    json_output: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write the diagnosis as JSON; - for standard output.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with all curves.", rich_help_panel=_SHOW)
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing but errors.", rich_help_panel=_SHOW)
    ] = False,
) -> None:
    """Find out why a training script does not learn, and prove it.

    The script, or -m MODULE, stands at the end, with its own arguments behind it; in its place a
    recorded run of chainrule ("last"). It is run to its first training step; from there copies of
    it go on with one thing changed each. Nothing of yours is written to.

    Exit code: 0 healthy, 1 faulty, 3 cannot tell.
    """
    given: dict[str, Any] = {
        "json": json_output, "html": html, "seconds": seconds, "steps": steps, "jobs": jobs,
        "seeds": seeds, "runs": runs, "ray": ray,
    }  # fmt: skip
    name, theirs, ours = split_words(list(context.args), module, "diagnose", _OPTIONS, _FLAGS)
    quiet = quiet or ours.pop("quiet", None) is not None
    apply = apply or ours.pop("apply", None) is not None
    options = _checked(given | ours)
    answer = _diagnose(name, theirs, module is not None, options, quiet)
    _show(answer, options, quiet)
    if apply:
        _apply(answer)
    raise typer.Exit(answer.exit_code)


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """Options that stood behind the script are still text."""
    options = dict(given)
    for name, kind in (("seconds", float), ("steps", int), ("jobs", int), ("seeds", int)):
        options[name] = number_of(name, options[name], kind)
    for name in ("json", "html", "runs"):
        if isinstance(options[name], str):
            options[name] = Path(options[name])
    for name in ("json", "html"):
        if options[name] is not None and str(options[name]) != "-":
            check_writable(name, options[name])
    return options


def _diagnose(
    name: str, theirs: tuple[str, ...], module: bool, options: dict[str, Any], quiet: bool
) -> Diagnosis:
    from chainrule.diagnosis.diagnose import diagnose, diagnose_run
    from chainrule.diagnosis.script import is_script

    teller = _Teller(quiet)
    settings = {key: options[key] for key in ("seconds", "steps", "jobs", "seeds", "ray")}
    try:
        if not module and not is_script(name) and _is_run(name, options["runs"]):
            return diagnose_run(name, runs=options["runs"], tell=teller.tell, **settings)
        return diagnose(name, theirs, module=module, tell=teller.tell, **settings)
    finally:
        teller.end()


def _is_run(name: str, runs: Path) -> bool:
    from chainrule.record.store import RunStore

    if not runs.exists():
        return False
    store = RunStore(runs)
    return name == "last" or any(run.id == name for run in store.runs().runs)


def _show(answer: Diagnosis, options: dict[str, Any], quiet: bool) -> None:
    if options["json"] is not None:
        text = json.dumps(finite(answer.to_dict()))
        if str(options["json"]) == "-":
            typer.echo(text)
        else:
            write_text(options["json"], text)
    if options["html"] is not None:
        from chainrule.report.page import write_page

        write_page(answer, options["html"])
    if not quiet:
        from chainrule.report.terminal import show

        show(answer, to_error=str(options["json"]) == "-")


def _apply(answer: Diagnosis) -> None:
    from chainrule.diagnosis.applying import apply_fix

    for line in apply_fix(answer):
        typer.echo(line, err=True)


class _Teller:
    """One line on a terminal that says what goes on."""

    def __init__(self, quiet: bool) -> None:
        from chainrule.report.status_line import StatusLine

        self._line = StatusLine()
        self._shown = not quiet and sys.stderr.isatty()
        if self._shown:
            self._line.open()

    def tell(self, text: str) -> None:
        if self._shown:
            self._line.draw(f" chainrule  {text} ")

    def end(self) -> None:
        if self._shown:
            self._line.close()
