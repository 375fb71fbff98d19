"""Arrays: ``.npz`` files, read without pickle."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.training.data.dataset import Task
from chainrule.training.data.raw import Raw, RawPart, as_float32, check_labels

_WHOLE = (("x", "y"), ("inputs", "targets"), ("X", "Y"), ("images", "labels"))
_PARTED = ("x_train", "y_train", "x_test", "y_test")
_CHANNELS = (1, 3)
_MOST_CLASSES = 1_000_000  # a label beyond this is taken for a mistake, not for a class

Array = NDArray[Any]


def read_npz(path: Path, task: str | None) -> Raw:
    """``x`` and ``y`` (or ``x_train``, ``y_train``, ``x_test``, ``y_test``) of an ``.npz`` file.

    ``x`` is (N, D), (N, H, W), (N, C, H, W) or (N, H, W, C); a last axis of 1 or 3 is taken
    for channels when the second is neither. Whole-number ``y`` (N,) are classes from 0, (N, K) of
    0 and 1 labels, other numbers a regression.

    Raises:
        DataError: damaged, pickled inside, other names, or shapes that no network takes.
    """
    arrays = _load(path)
    if all(name in arrays for name in _PARTED):
        main = _pair(arrays["x_train"], arrays["y_train"], path)
        test = _pair(arrays["x_test"], arrays["y_test"], path)
        return raw_of(path, main, test, task)
    for inputs, targets in _WHOLE:
        if inputs in arrays and targets in arrays:
            return raw_of(path, _pair(arrays[inputs], arrays[targets], path), None, task)
    raise DataError(
        f"file '{path}' holds {', '.join(arrays) or 'nothing'}, wants x and y, or "
        f"{', '.join(_PARTED)}"
    )


def _load(path: Path) -> dict[str, Array]:
    if not zipfile.is_zipfile(path):
        raise DataError(f"file '{path}' cannot be read as .npz: it is damaged or something else")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise DataError(
                f"file '{path}' holds Python objects, which loading would execute: save plain "
                "arrays of numbers"
            ) from None
        raise DataError(f"file '{path}' cannot be read: {error}") from None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, AttributeError) as error:
        raise DataError(f"file '{path}' cannot be read as .npz: {error}") from None


def _pair(inputs: Array, targets: Array, path: Path) -> RawPart:
    for name, array in (("x", inputs), ("y", targets)):
        if array.dtype.kind not in "biuf":
            raise DataError(f"array {name} of '{path}' is {array.dtype}, wants numbers")
        if not array.ndim:
            raise DataError(f"array {name} of '{path}' is a single number, wants one per example")
    return RawPart(channels_first(inputs, path), targets)


def channels_first(inputs: Array, path: Path) -> Array:
    """Images as (N, C, H, W), vectors as float32; a view where that is possible."""
    if inputs.dtype not in (np.uint8, np.float32):
        inputs = as_float32(inputs, f"array x of '{path}'")
    if inputs.ndim == 2:
        return inputs.astype(np.float32, copy=False)
    if inputs.ndim == 3:
        return inputs[:, None]
    if inputs.ndim == 4:
        last = inputs.shape[3] in _CHANNELS and inputs.shape[1] not in _CHANNELS
        return inputs.transpose(0, 3, 1, 2) if last else inputs
    raise DataError(
        f"array x of '{path}' has shape {inputs.shape}, wants (N, D), (N, H, W), (N, C, H, W) or "
        "(N, H, W, C)"
    )


def raw_of(
    path: Path,
    main: RawPart,
    test: RawPart | None,
    task: str | None,
    validation: RawPart | None = None,
) -> Raw:
    """What ``main`` and its companions are: classes, labels or numbers, by their targets."""
    targets = main.targets
    kind: Task = "regression"
    whole = np.issubdtype(targets.dtype, np.integer) or task == "classification"
    if targets.ndim == 1 and whole and task not in ("regression", "multilabel"):
        kind = "classification"
    elif targets.ndim == 2 and task != "regression" and set(np.unique(targets)) <= {0, 1}:
        kind = "multilabel"
    if kind == "classification":
        count = int(targets.max()) + 1 if targets.size else 0
        if count > _MOST_CLASSES:
            raise DataError(
                f"labels of '{path}' go up to {count - 1:,}: number the classes from 0, or say "
                "that they are numbers (task regression)"
            )
        check_labels(targets, max(count, 1), str(path))
        names = tuple(str(number) for number in range(count))
        return Raw(path.stem, str(path), names, main, test, validation)
    main = _two_axes(main)
    test, validation = (None if part is None else _two_axes(part) for part in (test, validation))
    names = tuple(str(number) for number in range(main.targets.shape[1]))
    return Raw(path.stem, str(path), names, main, test, validation, kind)


def _two_axes(part: RawPart) -> RawPart:
    """Targets (N,) as (N, 1)."""
    targets = part.targets
    return replace(part, targets=targets[:, None] if targets.ndim == 1 else targets)
