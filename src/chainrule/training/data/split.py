"""Split: stratified train, validation and test parts with a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor

from chainrule.errors import DataError
from chainrule.training.data.dataset import CHUNK, Dataset, Part, fingerprint, statistics_of
from chainrule.training.data.raw import Raw, RawPart, check, refuse_not_finite

Indices = NDArray[np.int64]
_MOST_HELD_BACK = 2**30  # bytes


def make_dataset(
    raw: Raw, *, seed: int, validation_share: float, test_share: float, limit: int | None
) -> Dataset:
    """Check, split and measure what a reader found.

    Args:
        raw: what was read.
        seed: fixes the split.
        validation_share: share of all examples meant for training, held back to choose by.
        test_share: share held back to report on, where there is no official test part.
        limit: keep at most this many examples of each part (None: all).

    Raises:
        DataError: what was read cannot be learned from, or the shares leave a part empty.
    """
    check(raw)
    main, rest = _part(raw, raw.main), np.arange(len(raw.main.inputs))
    if raw.test is not None:
        test = _part(raw, raw.test)
    else:
        share = _affordable(raw, test_share)
        rest, held = _hold_back(raw, rest, share, seed, "test_share")
        test = main.select(torch.from_numpy(held))
    if raw.validation is not None:
        validation = _part(raw, raw.validation)
    else:
        share = validation_share / (1 - test_share) if raw.test is None else validation_share
        share = _affordable(raw, share)
        rest, held = _hold_back(raw, rest, share, seed, "validation_share")
        validation = main.select(torch.from_numpy(held))
    train = main if len(rest) == len(main) else main.keep(torch.from_numpy(rest))
    train, validation, test = (_limited(part, limit, seed) for part in (train, validation, test))
    mean, std = statistics_of(_looked_through(train, raw))
    return Dataset(
        name=raw.name,
        task=raw.task,
        train=train,
        validation=validation,
        test=test,
        classes=raw.classes,
        mean=mean,
        std=std,
        fingerprint=fingerprint((train, validation, test)),
        source=raw.source,
    )


def _affordable(raw: Raw, share: float) -> float:
    """What is held back comes into memory: of a set that is streamed, a gigabyte at most."""
    if raw.main.mapped is None or not raw.main.mapped.bytes:
        return share
    return min(share, _MOST_HELD_BACK / raw.main.mapped.bytes)


def _looked_through(train: Part, raw: Raw) -> Iterator[Tensor]:
    """The inputs to train on, refusing values that are not finite on the way."""
    at = 0
    for chunk in train.chunks(CHUNK):
        if train.mapped is not None:
            refuse_not_finite(chunk.numpy(), "inputs", raw.source, at)
        yield chunk
        at += len(chunk)


def _part(raw: Raw, part: RawPart) -> Part:
    inputs, targets = part.inputs, part.targets
    if inputs.dtype != np.uint8:
        inputs = inputs.astype(np.float32, copy=False)
    kind = np.int64 if raw.task == "classification" else np.float32
    known = torch.from_numpy(np.ascontiguousarray(targets.astype(kind)))
    if part.mapped is not None:
        return Part(torch.from_numpy(inputs), known, mapped=part.mapped)
    return Part(torch.from_numpy(np.ascontiguousarray(inputs)), known)


def _hold_back(
    raw: Raw, indices: Indices, share: float, seed: int, name: str
) -> tuple[Indices, Indices]:
    """(kept, held back), both in ascending order, stratified by class where there are classes."""
    if share == 0:
        return indices, indices[:0]
    classify = raw.task == "classification"
    labels = raw.main.targets[indices].astype(np.int64) if classify else None
    try:
        kept, held = train_test_split(
            indices, test_size=share, random_state=seed % 2**32, stratify=labels
        )
    except ValueError as error:
        raise DataError(
            f"{name} {share:.3g} of {len(indices)} examples of '{raw.source}' leaves no part with "
            f"every class ({str(error).split('.')[0]}): give more examples or another share"
        ) from None
    return np.sort(kept), np.sort(held)


def _limited(part: Part, limit: int | None, seed: int) -> Part:
    """At most ``limit`` examples, drawn evenly over the part."""
    if limit is None or len(part) <= limit:
        return part
    chosen = np.sort(np.random.default_rng(seed).choice(len(part), limit, replace=False))
    return part.keep(torch.from_numpy(chosen))
