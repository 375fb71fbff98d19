"""How packing looks in a terminal: what was written."""

from __future__ import annotations

from pathlib import Path

from rich.console import RenderableType

from chainrule.report.terminal import facts, renderable
from chainrule.training.data.pack import Packed


@renderable.register
def packed(answer: Packed) -> RenderableType:
    """The files with their sizes, and how to train on them."""
    shape = "x".join(str(size) for size in answer.shape)
    folder = Path(answer.folder)
    return facts(
        [
            *((name, f"{size:,} bytes") for name, size in answer.files.items()),
            ("images", f"{shape} (channels x height x width), 8 bits" if shape else ""),
            ("classes", ", ".join(answer.classes[:8]) + (" ..." if answer.classes[8:] else "")),
            ("train on it", f"chainrule train --data {folder}"),
        ]
    )
