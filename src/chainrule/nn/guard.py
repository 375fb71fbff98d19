"""The one guard before every loss, and the checks that layers share.

A loss must never broadcast quietly: with scores ``(N, 1)`` and targets ``(N,)`` PyTorch would
compare every example with every other one and return a plausible number. So each loss of
``chainrule.nn.losses`` hands its arguments to ``check_loss_inputs`` first.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Literal

import torch
from torch import Tensor

from chainrule.errors import DataError, NetworkError, RecipeError, ShapeError, suggestion

TargetKind = Literal["distribution", "labels", "values"]


def check_probability(owner: str, p: float) -> float:
    """A drop probability, or a NetworkError that names its owner.

    Args:
        owner: name of the layer, for the message.
        p: probability of dropping, in [0, 1).

    Raises:
        NetworkError: ``p`` lies outside [0, 1). At p = 1 the scale 1/(1-p) has no value.

    Examples:
        >>> check_probability("StochasticDepth", 0.2)
        0.2
    """
    if not (_is_number(p) and 0 <= p < 1):
        raise NetworkError(
            f"{owner}: p is the probability of dropping and must lie in [0, 1), got {p!r}; "
            "use 0 to drop nothing, or less than 1 so that something is left"
        )
    return float(p)


def check_count(owner: str, argument: str, got: object, remedy: str) -> None:
    """A NetworkError unless ``got`` is a whole number of at least 1.

    Raises:
        NetworkError: ``got`` is no whole number, or below 1.

    Examples:
        >>> check_count("Maxout", "pieces", 2, "use 2 pieces")
    """
    if not (isinstance(got, Integral) and int(got) >= 1):
        raise NetworkError(
            f"{owner}: {argument} must be a whole number of at least 1, got {got!r}; {remedy}"
        )


def check_choice(argument: str, got: str, known: Collection[str]) -> str:
    """``got`` when it is one of ``known``, or a RecipeError that suggests the near word.

    Raises:
        RecipeError: ``got`` is not among ``known``.

    Examples:
        >>> check_choice("reduction", "mean", ("mean", "sum"))
        'mean'
    """
    if got not in known:
        listed = ", ".join(known)
        near = suggestion(str(got), known)
        raise RecipeError(f"{argument} must be one of {listed}; got {got!r}{near}")
    return got


def check_share(argument: str, got: float, remedy: str) -> float:
    """``got`` when it lies in [0, 1], or a RecipeError with the remedy.

    Raises:
        RecipeError: ``got`` lies outside [0, 1] or is not a number.

    Examples:
        >>> check_share("l1_ratio", 0.5, "0 is pure L2, 1 is pure L1")
        0.5
    """
    if not (_is_number(got) and 0 <= got <= 1):
        raise RecipeError(f"{argument} must lie in [0, 1], got {got!r}; {remedy}")
    return got


def check_size(argument: str, got: float, remedy: str, zero: bool = False) -> float:
    """``got`` when it is finite and above 0 (or 0, if allowed), or a RecipeError.

    Raises:
        RecipeError: ``got`` is negative, not finite or not a number, or 0 without ``zero``.

    Examples:
        >>> check_size("margin", 1.0, "1 is customary")
        1.0
    """
    if not (_is_number(got) and 0 <= got < math.inf and (zero or got > 0)):
        wanted = "of at least 0" if zero else "above 0"
        raise RecipeError(f"{argument} must be a finite number {wanted}, got {got!r}; {remedy}")
    return got


def check_loss_inputs(
    scores: Tensor, targets: Tensor, kind: TargetKind, check: bool = True
) -> tuple[Tensor, Tensor]:
    """Scores and targets that are safe to compare, in one floating dtype.

    Args:
        scores: (N, C) floating, one row per example.
        targets: (N,) int64 class numbers in [0, C), or (N, C) floating.
        kind: what floating targets are: ``"distribution"`` (in [0, 1], each row sums to 1),
            ``"labels"`` (each in [0, 1]) or ``"values"`` (finite).
        check: also read the values of ``targets``. Shapes, dtypes and devices are always
            checked; reading values makes the processor wait for the accelerator, so a loop
            that has checked its data once says False.

    Returns:
        ``scores`` and ``targets``; floating ones of unequal precision in the finer of the two.

    Raises:
        ShapeError: the shapes would broadcast or do not fit.
        DataError: wrong dtype or device, or values out of range.

    Examples:
        >>> scores, targets = check_loss_inputs(torch.zeros(2, 3), torch.tensor([0, 2]), "values")
        >>> tuple(scores.shape), targets.tolist()
        ((2, 3), [0, 2])
    """
    _check_scores(scores, targets)
    if not targets.is_floating_point():
        _check_class_numbers(scores, targets)
        if check:
            _check_class_range(targets, scores.shape[1])
        return scores, targets
    _check_same_shape(scores, targets)
    if check:
        _check_values(targets, kind)
    dtype = torch.promote_types(scores.dtype, targets.dtype)
    return scores.to(dtype), targets.to(dtype)


def _is_number(value: object) -> bool:
    return isinstance(value, Real)


def _check_scores(scores: Tensor, targets: Tensor) -> None:
    if scores.ndim != 2:
        raise ShapeError(
            f"scores have shape {tuple(scores.shape)}, a loss wants (N, C), one row per example; "
            "flatten the network's output to two axes"
        )
    if not scores.is_floating_point():
        raise DataError(
            f"scores have dtype {scores.dtype}, a loss wants a floating dtype; "
            "pass the network's raw scores, not predicted classes"
        )
    if scores.device != targets.device:
        raise DataError(
            f"targets are on {targets.device}, scores on {scores.device}; "
            "use targets.to(scores.device)"
        )


def _check_class_numbers(scores: Tensor, targets: Tensor) -> None:
    """int64 and (N,)."""
    several = targets.shape == scores.shape
    if targets.dtype != torch.int64:
        remedy = "targets.float()" if several else "targets.long()"
        raise DataError(
            f"targets have dtype {targets.dtype}, want torch.int64 class numbers of shape (N,) "
            f"or floats of the scores' shape {tuple(scores.shape)}; use {remedy}"
        )
    if targets.shape == scores.shape[:1]:
        return
    remedy = "take scores and targets from the same minibatch"
    if targets.shape == (scores.shape[0], 1):
        remedy = "use targets.squeeze(1)"
    elif several:
        remedy = "use targets.argmax(1) if one-hot, targets.float() if one row has several labels"
    raise ShapeError(
        f"targets have shape {tuple(targets.shape)}, class numbers for scores of shape "
        f"{tuple(scores.shape)} want ({scores.shape[0]},); {remedy}"
    )


def _check_same_shape(scores: Tensor, targets: Tensor) -> None:
    if targets.shape == scores.shape:
        return
    remedy = "give one target per score"
    if targets.numel() == scores.numel():
        remedy = f"use targets.reshape{tuple(scores.shape)}"
    elif targets.shape == scores.shape[:1]:
        remedy = "if they are class numbers, use targets.long()"
    raise ShapeError(
        f"floating targets have shape {tuple(targets.shape)}, scores {tuple(scores.shape)}; "
        f"the two must be equal (nothing is broadcast): {remedy}"
    )


def _check_class_range(targets: Tensor, classes: int) -> None:
    if targets.is_meta:
        return
    outside = (targets < 0) | (targets >= classes)
    if outside.any():
        position = int(outside.nonzero()[0])
        raise DataError(
            f"targets hold class {int(targets[position])} at position {position}, but scores have "
            f"C = {classes} classes, so targets must lie in [0, {classes}); number the classes "
            "from 0, or give the network more outputs"
        )


def _check_values(targets: Tensor, kind: TargetKind) -> None:
    if targets.is_meta:
        return
    if kind == "values":
        _refuse(~targets.isfinite(), targets, "finite numbers", "remove or replace the example")
        return
    outside = ~((targets >= 0) & (targets <= 1))
    _refuse(outside, targets, "in [0, 1]", "pass probabilities, or class numbers as int64")
    if kind == "distribution":
        sums = targets.sum(dim=1)
        tolerance = max(1e-3, 4 * torch.finfo(targets.dtype).eps)
        off = (sums - 1).abs() > tolerance
        if off.any():
            row = int(off.nonzero()[0])
            raise DataError(
                f"targets of example {row} sum to {float(sums[row]):g}, class probabilities must "
                "sum to 1; divide each row by its sum, or use loss 'bce' for several labels"
            )


def _refuse(bad: Tensor, targets: Tensor, wanted: str, remedy: str) -> None:
    """Raise a DataError for the first ``bad`` entry of ``targets``, both (N, C)."""
    if bad.any():
        row, column = bad.nonzero()[0].tolist()
        raise DataError(
            f"targets hold {float(targets[row, column]):g} at ({row}, {column}), "
            f"targets of this loss must be {wanted}; {remedy}"
        )
