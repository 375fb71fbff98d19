"""``chainrule watch``: look on while a script trains."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.script_words import check_writable, finite, number_of, split_words, write_text

if TYPE_CHECKING:
    from chainrule.diagnosis.script import Ending, Script
    from chainrule.diagnosis.watch import Watching

_SHOW = "What is kept and shown"
_OPTIONS = ("json", "steps", "seconds", "tensorboard", "runs", "share", "name")
_FLAGS = ("quiet",)


def watch_command(
    context: typer.Context,
    module: Annotated[
        str | None,
        typer.Option("-m", "--module", help="Run a module, as in python -m package.module."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Watch so many steps; the training itself goes on.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Watch so many seconds.")] = None,
    share: Annotated[
        float, typer.Option(help="Share of the training time that watching may take.")
    ] = 0.02,
    runs: Annotated[
        Path, typer.Option(help="Folder where the run is kept.", rich_help_panel=_SHOW)
    ] = Path("runs"),
    name: Annotated[
        str, typer.Option(help="Name of the run; the script's by default.", rich_help_panel=_SHOW)
    ] = "",
    tensorboard: Annotated[
        Path | None,
        typer.Option(help="Mirror the series as TensorBoard event files.", rich_help_panel=_SHOW),
    ] = None,
    json_output: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write what was seen as JSON; - for standard output.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing but errors.", rich_help_panel=_SHOW)
    ] = False,
) -> None:
    """Watch any PyTorch training script without touching it.

    The script, or -m MODULE, stands at the end, with its own arguments behind it. Its output, exit
    code, standard input and signals are its own; chainrule writes to standard error.

    Options of chainrule stand before the script, or behind it where the script has no such option
    itself; words after -- are the script's.
    """
    script, ours = _words(list(context.args), module)
    if os.environ.get("RANK", "0") != "0":  # torchrun: one process reports
        raise typer.Exit(_alone(script))
    options = {
        "runs": runs, "share": share, "steps": steps, "seconds": seconds,
        "tensorboard": tensorboard, "name": name, "json": json_output,
    } | ours  # fmt: skip
    quiet = quiet or options.pop("quiet", None) is not None
    ending = _watch(script, _checked(options), quiet)
    raise typer.Exit(ending)


def _words(rest: list[str], module: str | None) -> tuple[Script, dict[str, Any]]:
    from chainrule.diagnosis.script import find_script

    name, theirs, ours = split_words(rest, module, "watch", _OPTIONS, _FLAGS)
    return find_script(name, theirs, module=module is not None), dict(ours)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """Options that stood behind the script are still text."""
    checked = dict(options)
    for name, kind in (("steps", int), ("seconds", float), ("share", float)):
        checked[name] = number_of(name, options[name], kind)
    for name in ("runs", "tensorboard", "json"):
        if isinstance(options[name], str):
            checked[name] = Path(options[name])
    return checked


def _alone(script: Script) -> int:
    """Run a script without watching it."""
    from chainrule.diagnosis.script import leave, run_script

    ending = run_script(script)
    leave(ending)
    return ending.code


def _watch(script: Script, options: dict[str, Any], quiet: bool) -> int:
    from chainrule.diagnosis.script import leave, run_script
    from chainrule.diagnosis.watch import watch

    target = options.pop("json")
    if target is not None and str(target) != "-":
        target = target.absolute()
        check_writable("json", target)
    options["name"] = options["name"] or Path(script.name).stem
    teller = Teller(quiet)
    watching = watch(spectator=teller, **options)
    watching.script = " ".join([script.name, *script.arguments])
    begun, streams = time.perf_counter(), (sys.stdout, sys.stderr)
    watching.start()
    teller.begin()
    try:
        ending = run_script(script)
    finally:
        watching.stop()
        teller.end()
    _flush()
    sys.stdout, sys.stderr = streams  # the script may have put others in their place
    watching.end(ending.error, ending.code)
    code = _finished(watching, ending, target, quiet, time.perf_counter() - begun)
    _flush()
    leave(ending)
    return code


def _flush() -> None:
    with contextlib.suppress(Exception):  # closed by the script, or no stream at all
        sys.stdout.flush()


def _finished(
    watching: Watching, ending: Ending, target: Path | None, quiet: bool, seconds: float
) -> int:
    if not watching.steps or not watching.has_gradients:
        typer.echo(f"error: {_nothing(watching, ending, seconds)}", err=True)
        return ending.code or 2
    _report(watching)
    answer = watching.result
    if target is not None:
        text = json.dumps(finite(answer.to_dict()))
        if str(target) == "-":
            typer.echo(text)
        else:
            write_text(target, text)
    if not quiet:
        from chainrule.report.terminal import show

        show(answer, to_error=True)
    return ending.code


def _nothing(watching: Watching, ending: Ending, seconds: float) -> str:
    """A script that did not train: what was seen and what was waited for."""
    backwards, networks = watching.heard
    gradients = "called" if backwards else "never called"
    if watching.steps:
        return (
            f"script '{watching.script}' made {watching.steps:,} optimizer steps and no gradient "
            f"was ever computed: backward() {gradients}, and every parameter's grad is None; call "
            "loss.backward() before optimizer.step()"
        )
    seen = f"{networks} network{'s' * (networks != 1)} called, backward() {gradients}"
    how = f"broke down ({type(ending.error).__name__})" if ending.error else "ended"
    if watching.compiled:
        seen += ", torch.compile used"
    return (
        f"script '{watching.script}' {how} after {seconds:.1f} s without a training step: {seen}, "
        "no optimizer.step() and no weights changed by hand; chainrule waits for loss.backward() "
        "and an update in this process (for several processes use torchrun)"
    )


def _report(watching: Watching) -> None:
    from chainrule.report.kept_page import keep_page

    error = keep_page(watching)
    if error:
        typer.echo(f"chainrule: {error}", err=True)


class Teller:
    """Tells of a watch on standard error: a status line on a terminal, findings as they arise."""

    def __init__(self, quiet: bool) -> None:
        from chainrule.report.status_line import StatusLine

        self._quiet = quiet
        self._line = StatusLine()
        self._stream = sys.stderr  # the script may put another in its place
        self._found = 0

    def begin(self) -> None:
        """The script is about to run."""
        if not self._quiet:
            self._line.open()

    def end(self) -> None:
        """The script has ended."""
        self._line.close()

    def stepped(self, watching: Watching) -> None:
        """A step was watched in full."""
        if self._line.is_shown:
            loss, speed = watching.loss_and_speed()
            self._line.draw(
                f" chainrule  step {watching.steps:,}  loss {loss:.4g}  {speed:,.1f} steps/s  "
                f"{self._found} findings "
            )

    def found(self, finding: Any) -> None:
        """A symptom has been seen for the first time."""
        self._found += 1
        if not self._quiet:
            from chainrule.diagnosis.spectator import told

            typer.echo(f"chainrule: {told(finding)}", file=self._stream)

    def broken(self, message: str) -> None:
        """Watching has failed and ended; the training goes on."""
        typer.echo(f"chainrule: {message}", file=self._stream)
