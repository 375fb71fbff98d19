"""Layout: features that stand elsewhere in what is evaluated on than in what is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from chainrule.diagnosis.replaying.minibatch import Minibatch, pooled_inputs

Layout = Callable[[Tensor, Tensor, Tensor], Tensor | None]
_APART, _CHANCE = 0.15, 3.0  # standard deviations, and times what chance makes, from which on
_NEARER = 3.0  # times as near as they are
_FEATURES = 512  # whose order is looked for at most
_FLOOR = 0.1  # of all features' spread: that of a feature that never changes
_SMALLEST = 16  # numbers of a row that may be a square picture


def layout_of(trained: Sequence[Minibatch], held: Sequence[Minibatch]) -> tuple[str, float, float]:
    """How the features of what is evaluated on have to be laid to be like those of training.

    Returns:
        The name of a layout ("" for none that is nearer), how far the means of features are apart
        as they are, and how far with it (root mean square, in standard deviations).
    """
    ours, theirs = pooled_inputs(trained), pooled_inputs(held)
    if ours is None or theirs is None or ours.shape[1:] != theirs.shape[1:] or ours.dim() < 2:
        return "", math.nan, math.nan
    ours, theirs = ours.double(), theirs.double()
    apart = _distance(ours, theirs)
    # by chance means differ by so much; a layout cannot bring them nearer
    chance = math.sqrt(1 / len(ours) + 1 / len(theirs))
    for name in LAYOUTS if apart > max(_APART, _CHANCE * chance) else ():
        laid = laid_out(name, theirs, ours, theirs)
        distance = apart if laid is None else _distance(ours, laid)
        if distance * _NEARER < apart:
            return name, apart, distance
    return "", apart, apart


def laid_out(name: str, value: Tensor, ours: Tensor, theirs: Tensor) -> Tensor | None:
    """Inputs in a layout; None where it does not fit their shape.

    Args:
        name: of the layout.
        value: inputs, (N, ...).
        ours, theirs: inputs of the training and of the evaluation, (M, ...), whose statistics tell
            an order of features.
    """
    return LAYOUTS[name](value, ours, theirs)


def _distance(ours: Tensor, theirs: Tensor) -> float:
    std = ours.std(0, correction=0)
    std = std.clamp_min(_FLOOR * float(ours.std()) + 1e-12)
    return float((((theirs.mean(0) - ours.mean(0)) / std) ** 2).mean().sqrt())


def _reordered(value: Tensor, ours: Tensor, theirs: Tensor) -> Tensor | None:
    """Each of our features from that of theirs whose mean and spread fit best."""
    from scipy.optimize import linear_sum_assignment  # takes a fifth of a second to import

    if ours.dim() != 2 or not 2 <= ours.shape[1] <= _FEATURES:
        return None
    ours, theirs = ours.double(), theirs.double()
    floor = _FLOOR * float(ours.std()) + 1e-12
    std, spread = (item.std(0, correction=0).clamp_min(floor) for item in (ours, theirs))
    cost = ((ours.mean(0)[:, None] - theirs.mean(0)[None]) / std[:, None]) ** 2
    cost = cost + (std.log()[:, None] - spread.log()[None]) ** 2
    return value[:, torch.from_numpy(linear_sum_assignment(cost.numpy())[1])]


def _turned(value: Tensor, _ours: Tensor, _theirs: Tensor) -> Tensor | None:
    if value.dim() > 2:
        return value.transpose(-1, -2) if value.shape[-1] == value.shape[-2] else None
    side = math.isqrt(value.shape[1])
    if side * side != value.shape[1] or value.shape[1] < _SMALLEST:
        return None
    return value.reshape(len(value), side, side).transpose(1, 2).reshape(len(value), -1)


def _flipped(axis: int, least: int) -> Layout:
    """One axis reversed, of inputs with at least so many."""
    return lambda value, _ours, _theirs: value.flip(axis) if value.dim() >= least else None


LAYOUTS: dict[str, Layout] = {
    "with rows for columns": _turned,
    "upside down": _flipped(-2, 3),
    "mirrored": _flipped(-1, 3),
    "with the channels in reverse": _flipped(1, 4),
    "in another order": _reordered,
}
