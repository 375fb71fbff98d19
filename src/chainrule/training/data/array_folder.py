"""Array folder: ``.npy`` files of one data set, in memory or streamed from the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from chainrule.errors import DataError
from chainrule.training.data.arrays import Array, channels_first, raw_of
from chainrule.training.data.mapped import Mapped, available_memory
from chainrule.training.data.raw import Raw, RawPart

_NAMES = {"main": ("train", ""), "test": ("test",), "validation": ("validation", "val")}
CLASSES = "classes.txt"  # their names, one in a line, in the order of the labels
_SHARE = 0.5  # of the memory at hand; a larger set is streamed


def is_array_folder(path: Path) -> bool:
    """Whether the folder holds ``x.npy`` or ``x_train.npy``."""
    return any((path / name).is_file() for name in ("x.npy", "x_train.npy"))


def read_array_folder(path: Path, task: str | None, stream: bool | None) -> Raw:
    """``x.npy`` and ``y.npy``, or ``x_train.npy``, ``y_train.npy``, with test and validation.

    Args:
        path: the folder.
        task: as of ``load_data``.
        stream: leave the inputs in their files; None: when they take more than half of the
            memory at hand.

    Raises:
        DataError: a file is missing, damaged or of a type that cannot be streamed.
    """
    parts = {what: _files(path, names) for what, names in _NAMES.items()}
    size = sum(inputs.bytes for inputs, _ in parts.values() if inputs is not None)
    memory = available_memory()
    streamed = stream if stream is not None else memory is not None and size > _SHARE * memory
    made = {
        what: None if inputs is None or targets is None else _part(inputs, targets, streamed)
        for what, (inputs, targets) in parts.items()
    }
    if made["main"] is None:
        raise DataError(
            f"folder '{path}' has no y_train.npy or y.npy beside its x: add the targets"
        )
    raw = raw_of(path, made["main"], made["test"], task, validation=made["validation"])
    return replace(raw, name=path.name or str(path), classes=_names(path, raw.classes))


def _names(path: Path, numbered: tuple[str, ...]) -> tuple[str, ...]:
    """The names in ``classes.txt``, where there is one for each class."""
    file = path / CLASSES
    if not file.is_file():
        return numbered
    names = tuple(file.read_text(encoding="utf-8", errors="replace").splitlines())
    if len(names) < len(numbered) or len(set(names)) < len(names):
        raise DataError(
            f"file '{file}' has {len(set(names))} different names, the labels go up to "
            f"{len(numbered) - 1}: give each class a line of its own"
        )
    return names


def _files(path: Path, names: tuple[str, ...]) -> tuple[Mapped | None, Array | None]:
    for name in names:
        ending = f"_{name}.npy" if name else ".npy"
        inputs, targets = path / f"x{ending}", path / f"y{ending}"
        if inputs.is_file() and targets.is_file():
            return Mapped(inputs), np.array(Mapped(targets).array)
        if inputs.is_file() or targets.is_file():
            here, missing = (inputs, targets) if inputs.is_file() else (targets, inputs)
            raise DataError(f"folder '{path}' has {here.name}, but no {missing.name} beside it")
    return None, None


def _part(inputs: Mapped, targets: Array, streamed: bool) -> RawPart:
    for file, array in ((inputs.path, inputs.array), (inputs.path.parent, targets)):
        if array.dtype.kind not in "biuf":
            raise DataError(f"file '{file}' is {array.dtype}, wants numbers")
    if not streamed:
        return RawPart(channels_first(np.array(inputs.array), inputs.path), targets)
    if inputs.dtype not in (np.uint8, np.float32):
        raise DataError(
            f"file '{inputs.path}' is {inputs.dtype}, which cannot be streamed: save uint8 or "
            "float32"
        )
    inputs.array = channels_first(inputs.array, inputs.path)
    return RawPart(inputs.array, targets, inputs)
