"""``chainrule pack``: a set as a folder of .npy files, which are streamed when they are large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def pack_command(
    source: Annotated[Path, typer.Argument(help="An image folder or an .npz file.")],
    target: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Resize all images to so many pixels a side.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Write images or arrays as .npy files, which ``train --data`` streams when they are large."""
    from chainrule.report.live import counting
    from chainrule.report.terminal import show
    from chainrule.training.data.pack import pack

    with counting("images") as progress:
        packed = pack(source, target, image_size, progress)
    if json_output:
        typer.echo(json.dumps(packed.to_dict()))
    else:
        show(packed)
    return 0
