"""``chainrule sweep``: the same training with every combination of some settings."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer


def sweep_command(
    recipe: Annotated[
        Path | None, typer.Argument(help="TOML file with the settings of every run.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="A setting and its values: learning_rate=0.1,0.01; again for another."),
    ] = None,
    fixed: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of every run: epochs=5.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each combination.")] = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time (default: one for each core).")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Ray cluster, host:port or 'local'; it sees --runs.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder where runs are kept.")] = Path("runs"),
    html: Annotated[
        Path | None, typer.Option(help="Page with the picture (default: in --runs).")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Train with every combination of some settings, over several seeds, and compare."""
    from chainrule.report.live import counting
    from chainrule.report.page import write_page
    from chainrule.report.terminal import show
    from chainrule.training.grid import Grid, read_axis
    from chainrule.training.recipe import load_recipe
    from chainrule.training.sweep import SweepStopped, sweep

    base = (load_recipe(recipe) if recipe else {}) | _fixed(fixed or [])
    axes = dict(read_axis(text) for text in grid or [])
    try:
        with counting("runs") as told:
            found = sweep(Grid(base, axes, seeds), runs=runs, jobs=jobs, ray=ray, told=told)
    except SweepStopped:
        typer.echo("stopped; what is done is kept, the same command goes on", err=True)
        return 130
    page = html or runs / f"sweep-{found.name}.html"
    write_page(found, page)
    if json_output:
        typer.echo(json.dumps(found.to_dict()))
    else:
        show(found)
        typer.echo(f"\nreport  {page}")
    return 0


def _fixed(texts: list[str]) -> dict[str, Any]:
    """Settings from ``epochs=5``; a value with commas is one value here."""
    from chainrule.errors import RecipeError

    found: dict[str, Any] = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given:
            raise RecipeError(f"--set got {text!r}, wants a setting and its value: epochs=5")
        try:
            read = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            read = value.strip()
        found[name.strip().replace("-", "_")] = read
    return found
