"""Supply: all the examples that a script has, where it trains on the same few again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.analysis.running import tensors_of
from chainrule.analysis.tracer import same_random_state
from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.places import is_users
from chainrule.diagnosis.replaying.minibatch import Minibatch

_ROWS, _SECONDS = 2048, 1.0  # examples that are fetched from a data set at most, and for how long
_COMPARED = 8  # rows that are looked up
_SHARE = (
    4  # times the minibatch a variable has to hold: the rest of a smaller one may be a test set
)
Pair = tuple[Tensor, Tensor]


def supply_of(item: Minibatch, frame: FrameType | None, cast: Cast) -> Pair | None:
    """Inputs and targets of all the examples that a minibatch was taken from, if they are there.

    Args:
        item: the minibatch, with one tensor as its input.
        frame: of the script; variables of the user's functions above it are looked through.
        cast: knows the loaders that have been used.
    """
    inputs = tensors_of((list(item.args), item.kwargs))
    if len(inputs) != 1 or not inputs[0].dim() or not item.target.dim():
        return None
    given = inputs[0]
    if len(given) != len(item.target):
        return None
    found = next(_loaded(cast, given, item.target), None)
    return found or next(_kept(frame, given, item.target), None)


def cut_from(item: Minibatch, supply: Pair) -> list[Minibatch]:
    """Minibatches like this one, of other examples; those of the supply in their order."""
    size = len(item.target)
    given = next(iter(tensors_of((list(item.args), item.kwargs))))
    inputs, targets = supply
    return [
        replace(
            item,
            args=tuple(rows if part is given else part for part in item.args),
            kwargs={key: rows if part is given else part for key, part in item.kwargs.items()},
            target=targets[begin : begin + size].clone(),
        )
        for begin in range(0, len(inputs) - size + 1, size)
        for rows in (inputs[begin : begin + size].clone(),)
    ]


def _loaded(cast: Cast, given: Tensor, target: Tensor) -> Iterator[Pair]:
    """From data sets whose loader has been used."""
    for known in cast.loaders:
        loader = known.loader()
        data: Any = getattr(loader, "dataset", None)
        if data is None or not known.passes or not hasattr(data, "__getitem__"):
            continue
        size = len(data) if hasattr(data, "__len__") else 0
        if size <= len(given):
            continue
        found = tensors_of(_fetched(loader, data, size))
        if len(found) == 2 and _alike(found[0], given) and _alike(found[1], target):
            yield found[0], found[1]


def _fetched(loader: Any, data: Any, size: int) -> Any:
    """Examples from all over a data set, put together as its loader does it."""
    rows, begun = [], time.perf_counter()
    with same_random_state():
        for number in torch.randperm(size, generator=torch.Generator().manual_seed(7)).tolist():
            rows.append(data[number])
            if len(rows) >= _ROWS or time.perf_counter() - begun > _SECONDS:
                break
        return loader.collate_fn(rows)


def _kept(frame: FrameType | None, given: Tensor, target: Tensor) -> Iterator[Pair]:
    """From variables that hold the rows of the minibatch among many more."""
    for _, names in variables_above(frame):
        values = [found for value in names.values() if (found := _tensor(value)) is not None]
        for inputs in values:
            if not _alike(inputs, given) or len(inputs) < _SHARE * len(given):
                continue
            for targets in values:
                alike = len(targets) == len(inputs) and _alike(targets, target)
                if alike and _holds(inputs, targets, given, target):
                    yield inputs.detach(), targets.detach()


def _holds(inputs: Tensor, targets: Tensor, given: Tensor, target: Tensor) -> bool:
    """Whether the rows of a minibatch are there, with the same targets."""
    for row, wanted in zip(given[:_COMPARED], target[:_COMPARED], strict=True):
        places = (inputs == row).reshape(len(inputs), -1).all(1)
        said = (targets == wanted).reshape(len(targets), -1).all(1)
        if not bool((places & said).any()):
            return False
    return True


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        value = torch.from_numpy(np.array(value))
    return value if isinstance(value, Tensor) and value.dim() and value.numel() else None


def _alike(many: Tensor, few: Tensor) -> bool:
    return many.dtype == few.dtype and many.shape[1:] == few.shape[1:]


def variables_above(frame: FrameType | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Functions of the user's with their variables, from the innermost outwards."""
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            yield frame.f_code.co_name, dict(frame.f_locals)
        frame = frame.f_back
