"""Raw: what a reader hands over, checked before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.training.data.dataset import Task
from chainrule.training.data.mapped import Mapped


@dataclass(frozen=True)
class RawPart:
    """Arrays as read: inputs (N, C, H, W) or (N, D), targets (N,) or (N, K).

    ``mapped`` is the file that the inputs are a view of, when they are to stay in it.
    """

    inputs: NDArray[np.generic]
    targets: NDArray[np.generic]
    mapped: Mapped | None = None


@dataclass(frozen=True)
class Raw:
    """What a reader found.

    Attributes:
        name: what it was asked for by.
        source: where it came from.
        classes: names of classes, labels or target columns.
        main: the examples, or those meant for training.
        test: the official test part, if there is one.
        validation: the official validation part, if there is one.
        task: what the targets are.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    main: RawPart
    test: RawPart | None = None
    validation: RawPart | None = None
    task: Task = "classification"


def check(raw: Raw) -> None:
    """Refuse what no network can learn from.

    Raises:
        DataError: no examples, unequal numbers, values that are not finite, labels out of
            range, fewer than two classes.
    """
    if raw.task == "classification" and len(raw.classes) < 2:
        only = f" ('{raw.classes[0]}')" if raw.classes else ""
        raise DataError(
            f"data '{raw.source}' have {len(raw.classes)} class{only}, want two or more: add "
            "examples of another class"
        )
    for what, part in (("", raw.main), ("test ", raw.test), ("validation ", raw.validation)):
        if part is not None:
            _check_part(raw, what, part)


def _check_part(raw: Raw, what: str, part: RawPart) -> None:
    if not len(part.inputs):
        raise DataError(f"data '{raw.source}' have no {what}examples")
    if len(part.inputs) != len(part.targets):
        raise DataError(
            f"data '{raw.source}' have {len(part.inputs)} {what}inputs and {len(part.targets)} "
            "targets: each input wants one target"
        )
    # what stays in its file is looked through once, together with its statistics
    in_memory = [("inputs", part.inputs)] if part.mapped is None else []
    for name, array in [*in_memory, ("targets", part.targets)]:
        refuse_not_finite(array, f"{what}{name}", raw.source)
    if part.inputs.shape[1:] != raw.main.inputs.shape[1:]:
        raise DataError(
            f"{what}examples of '{raw.source}' have shape {part.inputs.shape[1:]}, those to train "
            f"on {raw.main.inputs.shape[1:]}: give both the same shape"
        )
    if raw.task == "classification":
        check_labels(part.targets, len(raw.classes), raw.source)


def as_float32(array: NDArray[np.generic], what: str) -> NDArray[np.float32]:
    """The array in single precision.

    Raises:
        DataError: a finite value is too large for it.
    """
    with np.errstate(over="ignore"):
        made = array.astype(np.float32)
    lost = np.isinf(made) & np.isfinite(np.asarray(array, np.float64))
    if lost.any():
        first = np.asarray(array)[lost][0]
        raise DataError(
            f"{what} holds {first:g}, too large for single precision (3.4e38): rescale or drop it"
        )
    return made


def refuse_not_finite(
    array: NDArray[np.generic], what: str, source: str, first_row: int = 0
) -> None:
    """Name the number of values that are NaN or infinite, and the place of the first.

    ``first_row`` is the number of the array's first example in the whole.
    """
    if not np.issubdtype(array.dtype, np.floating):
        return
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(place) for place in np.argwhere(bad)[0])
        raise DataError(
            f"{what} of '{source}' hold {int(bad.sum())} values that are not finite, the first in "
            f"example {first[0] + first_row} at {first[1:]}: mend or drop them"
        )


def check_labels(labels: NDArray[np.generic], classes: int, source: str) -> None:
    """Refuse labels that are not whole numbers from 0 to classes - 1."""
    values = np.asarray(labels)
    if not np.issubdtype(values.dtype, np.integer):
        if not (np.issubdtype(values.dtype, np.floating) and np.all(values == np.floor(values))):
            raise DataError(
                f"labels of '{source}' are {values.dtype}, want whole numbers from 0 to "
                f"{classes - 1}"
            )
        values = values.astype(np.int64)
    wrong = (values < 0) | (values >= classes)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DataError(
            f"labels of '{source}' hold {int(values.reshape(-1)[place])} (example {place}), want "
            f"0 to {classes - 1} for {classes} classes: number them from 0"
        )
