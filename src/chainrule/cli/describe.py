"""``chainrule describe``, ``compare`` and ``convolutionalize``: networks before training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.putting import put_out

if TYPE_CHECKING:
    from chainrule.analysis.effective import EffectiveField

_PIPE_WIDTH = 150
_WHAT, _SHOW = "What is described", "What is shown"
_NETWORK = (
    "Notation ('INPUT 32x32x1, CONV5-10, POOL2'), zoo name, module:attribute, file.py:Class, "
    "torchvision or timm name."
)
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="Shape of one example, C,H,W; again for further arguments; name=C,H,W for named "
        "ones; 128:int64 for tokens.",
        rich_help_panel=_WHAT,
    ),
]
Batch = Annotated[int, typer.Option(help="Examples per minibatch.", rich_help_panel=_WHAT)]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="One JSON object on standard output.", rich_help_panel=_SHOW),
]


def describe_command(
    network: Annotated[str, typer.Argument(help=_NETWORK)],
    input_: Input = None,
    batch: Batch = 1,
    memory: Annotated[
        str | None,
        typer.Option(
            help="A memory such as 24GB: name the largest minibatch that fits.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    prove: Annotated[
        bool,
        typer.Option(
            "--prove", help="Compute every column a second way and compare.", rich_help_panel=_WHAT
        ),
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns by comma: layer, operation, output, parameters, count, trainable, "
            "buffers, macs, flops, backward-macs, backward-flops, memory, kept, intensity, field, "
            "jump, padding, centre, holes, period, clipped, note.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(help="Levels of the module tree to show.", rich_help_panel=_SHOW),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write it as one HTML page.", rich_help_panel=_SHOW)
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write the table as .json, .md, .csv or .tex, or the graph as .svg.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="LAYER:ROW,COLUMN: the exact box of input pixels that this unit sees.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(
            "--effective",
            help="LAYER or 'last': measure its effective receptive field by gradients; with "
            "--html the picture.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Image or folder of images to measure --effective on; noise by default.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Volumes, parameters, memory, work and receptive fields of any network, before training.

    Nothing is run and nothing is allocated unless --prove or --effective asks for it.
    """
    table_only = {
        "memory": memory, "prove": prove, "columns": columns, "depth": depth, "export": export,
        "unit": unit,
    }  # fmt: skip
    _refuse_idle(effective is not None, table_only, images is not None)
    if effective is not None:
        _effective(network, input_, effective, images, html, json_output)
        return
    from chainrule.analysis.describe import describe
    from chainrule.report.columns import DEFAULT, chosen
    from chainrule.report.export import export as write

    wanted = chosen(columns)
    _check_depth(depth)
    answer = describe(network, _input(input_), batch=batch, memory=memory, prove=prove)
    seen = None if unit is None else _unit(network, input_, unit)
    shown = answer if depth is None else answer.folded(depth)
    for path in (html, export):
        if path is not None:
            write(shown, path, wanted if columns else DEFAULT)
            typer.echo(f"written: {path}", err=True)
    if json_output:
        typer.echo(json.dumps(answer.to_dict() | ({} if seen is None else {"unit": seen})))
    else:
        _show(shown, wanted if columns else None)
        if seen is not None:
            typer.echo(_unit_words(seen))
    if prove and not answer.proved:
        raise typer.Exit(1)


def _refuse_idle(measures: bool, table_only: Mapping[str, object], images: bool) -> None:
    """Options that would be ignored are refused, so that nobody believes they did something."""
    from chainrule.errors import RecipeError

    idle = [f"--{name}" for name, given in table_only.items() if given not in (None, False)]
    if measures and idle:
        raise RecipeError(
            f"{', '.join(idle)} got a value with --effective, which measures one layer and prints "
            "no table: leave out the one or the other"
        )
    if images and not measures:
        raise RecipeError("--images is measured on by --effective LAYER only: add it")


def _check_depth(depth: int | None) -> None:
    from chainrule.errors import RecipeError

    if depth is not None and depth < 1:
        raise RecipeError(f"depth got {depth}, wants a whole number from 1")


def _input(given: list[str] | None) -> Any:
    """What ``describe`` takes, from the command line's words."""
    if not given:
        return None
    if any("=" in item for item in given):
        from chainrule.errors import ShapeError

        pairs = [item.partition("=") for item in given]
        if not all(equals for _, equals, _ in pairs):
            raise ShapeError(
                f"input got {' and '.join(given)}: name all arguments (name=C,H,W) or none"
            )
        return {name: shape for name, _, shape in pairs}
    return given[0] if len(given) == 1 else tuple(given)


def _show(answer: Any, columns: tuple[str, ...] | None) -> None:
    from chainrule.report.described import described
    from chainrule.report.terminal import PipeConsole

    console = PipeConsole(highlight=False)
    if not console.is_terminal:  # a file or a pipe has room for all columns
        console = PipeConsole(highlight=False, width=_PIPE_WIDTH)
    console.print(described(answer, columns))


def _unit(network: str, given: list[str] | None, text: str) -> dict[str, Any]:
    from chainrule.analysis.unit import unit_box
    from chainrule.errors import ShapeError

    name, _, places = text.rpartition(":")
    try:
        index = tuple(int(place) for place in places.split(","))
    except ValueError:
        index = ()
    if not name or not index:
        raise ShapeError(f"unit got '{text}', wants LAYER:ROW,COLUMN such as conv2:3,4")
    return unit_box(network, _input(given), layer=name, unit=index).to_dict()


def _unit_words(seen: dict[str, Any]) -> str:
    place = ",".join(str(index) for index in seen["unit"])
    boxes = " x ".join(f"{low}..{high}" for low, high in seen["box"])
    text = f"unit {place} of {seen['layer']} sees input {boxes}"
    if seen["unclipped"]:
        spans = " x ".join(f"{low}..{high}" for low, high in seen["unclipped"])
        text += f" (padding included {spans})"
    return text


def _effective(
    network: str,
    given: list[str] | None,
    layer: str,
    images: Path | None,
    html: Path | None,
    json_output: bool,
) -> None:
    from chainrule.analysis.effective import effective_field
    from chainrule.training.data.images import image_batch

    shape = _shape(given)
    batch = None if images is None else image_batch(images, shape)
    name = "" if layer == "last" else layer
    found: EffectiveField = effective_field(network, shape, layer=name, images=batch)
    put_out(found, html, json_output)


def _shape(given: list[str] | None) -> tuple[int, ...] | None:
    from chainrule.analysis.inputs import shape_of

    return None if not given else shape_of(given[0])


def compare_command(
    networks: Annotated[list[str], typer.Argument(help=_NETWORK)],
    input_: Input = None,
    batch: Batch = 1,
    html: Annotated[Path | None, typer.Option(help="Write it as one HTML page.")] = None,
    json_output: AsJson = False,
) -> None:
    """Two or more networks side by side: parameters, work, memory, receptive field."""
    from chainrule.analysis.compare import compare

    answer = compare(networks, _input(input_), batch=batch)
    put_out(answer, html, json_output)


def convolutionalize_command(
    network: Annotated[str, typer.Argument(help=_NETWORK)],
    input_: Input = None,
    larger: Annotated[
        str | None, typer.Option(help="H,W of a larger image to try; half as large again.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the weights of the new network (.safetensors).")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Fully-connected layers as convolutions: same scores, and a score map on larger images."""
    from chainrule.analysis.convolutionalize import convolutionalization
    from chainrule.analysis.inputs import shape_of
    from chainrule.errors import ShapeError

    sides = None if larger is None else shape_of(larger)
    if sides is not None and len(sides) != 2:
        raise ShapeError(f"larger got '{larger}', wants H,W such as 320,320")
    answer, module = convolutionalization(network, _shape(input_), sides)
    if output is not None:
        from chainrule.training.checkpoint import save_weights

        save_weights(output, module)
        typer.echo(f"written: {output}", err=True)
    put_out(answer, None, json_output)
