"""``chainrule curvature``: how the loss curves around the weights, and which rates that allows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.putting import put_out

_WHAT, _HOW, _SHOW = "What is looked at", "How", "What is shown"
_TARGET = (
    "A network in any form (notation, zoo name, file.py:Class), with --data; or a kept run: its "
    "identifier, its beginning, or 'last'."
)


def curvature_command(
    target: Annotated[str, typer.Argument(help=_TARGET)],
    data: Annotated[
        str | None,
        typer.Option(
            help="digits, mnist, fashion-mnist, cifar10, cifar100, hf:NAME or a path; a run brings "
            "its own.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="softmax, svm, squared-hinge, mse or bce; by default the run's, or the usual one "
            "for the data.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Training examples the loss is taken of.", rich_help_panel=_WHAT)
    ] = 512,
    evaluation: Annotated[
        bool,
        typer.Option(
            "--evaluation", help="In evaluation mode, not training mode.", rich_help_panel=_WHAT
        ),
    ] = False,
    runs: Annotated[
        Path, typer.Option(help="Folder where runs are kept.", rich_help_panel=_WHAT)
    ] = Path("runs"),
    iterations: Annotated[
        int, typer.Option(help="Hessian-vector products at most.", rich_help_panel=_HOW)
    ] = 64,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Examples per minibatch of the noise scale; about a sixteenth by default, 0 for "
            "none.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    grid: Annotated[
        int | None,
        typer.Option(
            help="Losses along each side of the loss plane; 0 for none, 17 with --html.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="float64 or float32.", rich_help_panel=_HOW)
    ] = "float64",
    seed: Annotated[
        int, typer.Option(help="Fixes weights, dropout and examples.", rich_help_panel=_HOW)
    ] = 0,
    html: Annotated[
        Path | None, typer.Option(help="Write it as one HTML page.", rich_help_panel=_SHOW)
    ] = None,
    json_output: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on standard output.", rich_help_panel=_SHOW),
    ] = False,
) -> None:
    """Hessian eigenvalues, the largest stable learning rate, and the gradient noise scale."""
    from dataclasses import replace

    from chainrule.cli.looked import looked
    from chainrule.gradients.curvature import curvature

    found = looked(target, data, loss=loss, runs=runs, seed=seed)
    inputs, targets = found.examples(examples, seed)
    answer = curvature(
        found.module.train(not evaluation),
        inputs,
        targets,
        loss=found.loss,
        iterations=iterations,
        batch=batch,
        grid=grid if grid is not None else (17 if html else 0),
        dtype=dtype,
        seed=seed,
    )
    notes = [*answer.notes, found.note]
    if found.recipe.weight_decay:
        notes.append("of the data loss alone; the run's penalty is left out")
    answer = replace(answer, target=found.name, notes=tuple(notes))
    put_out(answer, html, json_output)
