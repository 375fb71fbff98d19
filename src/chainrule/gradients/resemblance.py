"""Resemblance: what a wrong gradient has in common with the right one."""

from __future__ import annotations

import torch
from torch import Tensor

_CLOSE = 1e-4


def resemblance(analytic: Tensor, numeric: Tensor) -> str:
    """In what simple way one tensor differs from the other, "" when in none.

    Args:
        analytic: the gradient in question.
        numeric: what it should be.

    Examples:
        >>> right = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)
        >>> resemblance(-right, right), resemblance(right.T, right)
        ('the sign is flipped', 'it is transposed')
        >>> resemblance(3 * right, right)
        'it is 3 times what it should be'
    """
    if _same(analytic, numeric):
        return ""
    if not bool(torch.isfinite(analytic).all()):
        return "it is not finite"
    if not bool(analytic.any()):
        return "no gradient comes through"
    factor = float((analytic * numeric).sum() / numeric.square().sum().clamp_min(1e-300))
    if _same(analytic, factor * numeric):
        flipped = abs(factor + 1) < _CLOSE
        return "the sign is flipped" if flipped else f"it is {factor:.4g} times what it should be"
    for words, other in _changes(numeric):
        if other.shape == analytic.shape and _same(analytic, other):
            return words
    right = (analytic - numeric).abs() <= _CLOSE * numeric.abs().max()
    count = int(right.sum())
    return f"it is right in {count} of {right.numel()} elements" if count else ""


def _changes(right: Tensor) -> list[tuple[str, Tensor]]:
    """Simple slips with a name."""
    found = []
    if right.dim() >= 2:
        found.append(("it is transposed", right.transpose(-1, -2)))
    for axis in range(right.dim()):
        found.append((f"it is reversed along axis {axis}", right.flip(axis)))
        for shift in (1, -1):
            rolled = right.roll(shift, axis)
            found.append((f"it is shifted by {shift} along axis {axis}", rolled))
    return found


def _same(first: Tensor, second: Tensor) -> bool:
    scale = float(second.abs().max()) if second.numel() else 0.0
    return bool(((first - second).abs() <= _CLOSE * scale).all())
