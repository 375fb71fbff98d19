"""Hugging Face: data sets of the ``datasets`` library (an optional extra)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chainrule.errors import DataError, suggestion
from chainrule.training.data.folder import eight_bits
from chainrule.training.data.raw import Raw, RawPart

_TARGETS = ("label", "labels", "target", "class", "fine_label")


def read_huggingface(name: str, target: Sequence[str] | None, size: int | None) -> Raw:
    """A data set by its name on the hub, or a folder written by ``save_to_disk``.

    Args:
        name: name on the hub, or a folder.
        target: the label column; None takes label, labels, target, class or fine_label.
        size: resize images to this many pixels a side.

    Raises:
        DataError: the library is not installed, the set cannot be loaded, or it has no column
            of labels or of images or numbers.
    """
    parts = _load(name)
    train = parts.get("train") or next(iter(parts.values()))
    label = _label_column(name, list(train.column_names), target)
    classes = _class_names(train, label)
    test = parts.get("test")
    return Raw(
        name=f"hf:{name}",
        source=f"Hugging Face datasets: {name}",
        classes=classes,
        main=_part(train, label, size),
        test=_part(test, label, size) if test is not None else None,
    )


def _load(name: str) -> dict[str, Any]:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise DataError(
            f"data 'hf:{name}' need the datasets library: pip install 'chainrule[huggingface]'"
        ) from None
    try:
        load = datasets.load_from_disk if Path(name).is_dir() else datasets.load_dataset
        found = load(name)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"data 'hf:{name}' cannot be loaded: {reason}") from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def _label_column(name: str, columns: list[str], target: Sequence[str] | None) -> str:
    wanted = list(target or _TARGETS)
    label = next((column for column in wanted if column in columns), None)
    if label is None:
        near = suggestion(wanted[0], columns) if target else ""
        raise DataError(
            f"data 'hf:{name}' have columns {', '.join(columns)} and none of "
            f"{', '.join(wanted)}{near}: name the label column with --target"
        )
    return label


def _class_names(part: Any, label: str) -> tuple[str, ...]:
    names = getattr(part.features[label], "names", None)
    if names is not None:
        return tuple(str(name) for name in names)
    return tuple(str(number) for number in range(max(part[label]) + 1))


def _part(part: Any, label: str, size: int | None) -> RawPart:
    columns = [column for column in part.column_names if column != label]
    labels = np.asarray(part[label], np.int64)
    first = part[0]
    image = next((column for column in columns if isinstance(first[column], Image.Image)), None)
    if image is not None:
        return RawPart(_stack(part[image], size), labels)
    numbers = [column for column in columns if isinstance(first[column], int | float)]
    if not numbers:
        raise DataError(f"data have columns {', '.join(columns)}: none holds images or numbers")
    values = np.stack([np.asarray(part[column], np.float32) for column in numbers], axis=1)
    return RawPart(values, labels)


def _stack(images: Sequence[Image.Image], size: int | None) -> NDArray[np.uint8]:
    images = [eight_bits(image) for image in images]
    grey = all(image.mode in ("L", "1") for image in images)
    arrays = []
    for image in images:
        converted = image.convert("L" if grey else "RGB")
        if size is not None:
            converted = converted.resize((size, size), Image.Resampling.BILINEAR)
        pixels = np.asarray(converted, np.uint8)
        arrays.append(pixels[None] if grey else pixels.transpose(2, 0, 1))
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise DataError(f"images have {len(shapes)} sizes: give --image-size to resize them all")
    return np.stack(arrays)
