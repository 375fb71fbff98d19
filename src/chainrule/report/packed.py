"""How packing looks in a terminal: a bar while it goes on, then what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chainrule.report.terminal import PipeConsole, facts, renderable
from chainrule.training.data.pack import Packed


@contextmanager
def packing() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while images are packed; nothing where that is no terminal."""
    console = PipeConsole(stderr=True, highlight=False)
    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("images", total=None)
        yield lambda done, images: bar.update(task, completed=done, total=images)


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
