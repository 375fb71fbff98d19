"""``chainrule study``: the claims of the course as experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.putting import put_out


def study_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Experiments to run, or 'all'; without a name they are listed."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes everything random.")] = 0,
    sabotaged: Annotated[
        bool,
        typer.Option(
            "--sabotaged",
            help="Break the set-up on purpose: the verdict must turn, or it proves nothing.",
        ),
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write it as one HTML page.")] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Run a claim of the course as an experiment: measured, with a verdict and a picture."""
    from chainrule.study.run import listed

    put_out(_ran(names, seed, sabotaged) if names else listed(), html, json_output)


def _ran(names: list[str], seed: int, sabotaged: bool) -> Any:
    """One result, or several; unknown names are told before anything runs."""
    from chainrule.report.live import counting
    from chainrule.study.experiment import StudyResults
    from chainrule.study.experiments import NAMES, experiment
    from chainrule.study.run import study

    wanted = [experiment(name).name for name in (NAMES if names == ["all"] else names)]
    results = []
    with counting("experiments") as told:
        for done, name in enumerate(wanted):
            told(done, len(wanted))
            results.append(study(name, seed=seed, sabotaged=sabotaged))
    return results[0] if len(results) == 1 else StudyResults(tuple(results))
