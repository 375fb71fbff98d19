"""Data augmentation on whole minibatches: tensors in, tensors out, no per-sample Python.

Each function takes images ``(N, C, H, W)`` and a NumPy generator for its draws, so that what
happens at a step is a function of seed and step alone and a resumed run repeats it exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from chainrule.errors import RecipeError, suggestion
from chainrule.training.data.dataset import unit_range
from chainrule.training.draws import Draws


def crop(images: Tensor, rng: Draws, padding: float) -> Tensor:
    """Random crop of the original size after zero padding (Krizhevsky et al. 2012).

    Args:
        images: (N, C, H, W).
        rng: source of the offsets.
        padding: pixels added on each side.

    Returns:
        (N, C, H, W), each image shifted by up to ``padding`` pixels both ways.

    Examples:
        >>> crop(torch.ones(2, 1, 4, 4), np.random.default_rng(0), 1).shape
        torch.Size([2, 1, 4, 4])
    """
    pixels = int(padding)
    count, _, height, width = images.shape
    padded = F.pad(images, (pixels, pixels, pixels, pixels))
    rows, columns = rng.integers(0, 2 * pixels + 1, (2, count))
    if images.device.type == "cpu":  # NumPy copies whole windows, PyTorch element by element
        windows = sliding_window_view(padded.numpy(), (height, width), axis=(2, 3))
        return torch.from_numpy(windows[np.arange(count), :, rows, columns])
    examples, down, right = (
        torch.from_numpy(index).to(images.device) for index in (np.arange(count), rows, columns)
    )
    return padded.unfold(2, height, 1).unfold(3, width, 1)[examples, :, down, right]


def flip(images: Tensor, rng: Draws, probability: float) -> Tensor:
    """Mirror each image left to right with the given probability.

    Examples:
        >>> flip(torch.tensor([[[[1.0, 2.0]]]]), np.random.default_rng(0), 1.0).flatten().tolist()
        [2.0, 1.0]
    """
    drawn = rng.random(len(images)) < probability
    if images.device.type == "cpu":  # only those that are mirrored are written again
        chosen, result = np.flatnonzero(drawn), images.numpy().copy()
        result[chosen] = result[chosen][..., ::-1]
        return torch.from_numpy(result)
    mirrored = torch.from_numpy(drawn).to(images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def rotate(images: Tensor, rng: Draws, degrees: float) -> Tensor:
    """Rotate each image about its centre by up to ``degrees`` both ways, bilinear, zero filled.

    Bytes come back as numbers, ``value / 255``: between two pixels there are no whole ones.

    Examples:
        >>> rotate(torch.ones(2, 1, 5, 5), np.random.default_rng(0), 10).shape
        torch.Size([2, 1, 5, 5])
    """
    images = unit_range(images)
    if not len(images):  # affine_grid refuses a minibatch of none
        return images
    angles = np.deg2rad(rng.uniform(-degrees, degrees, len(images)))
    height, width = images.shape[2:]
    zeros, cosines, sines = np.zeros_like(angles), np.cos(angles), np.sin(angles)
    # affine_grid works in coordinates scaled to [-1, 1] per axis: undo the scale off the diagonal
    rows = np.stack(
        [cosines, -sines * height / width, zeros, sines * width / height, cosines, zeros], axis=1
    )
    matrices = torch.from_numpy(rows.reshape(-1, 2, 3)).to(images)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def cutout(images: Tensor, rng: Draws, size: float) -> Tensor:
    """Set one square of each image to zero (DeVries & Taylor 2017).

    Applied to normalized images, so zero is the mean. The square's centre may lie anywhere,
    so part of the square can fall outside, as in the paper.

    Examples:
        >>> int((cutout(torch.ones(1, 1, 8, 8), np.random.default_rng(1), 2) == 0).sum())
        4
    """
    side = int(size)
    count, _, height, width = images.shape
    top = torch.from_numpy(rng.integers(0, height, count) - side // 2).to(images.device)
    left = torch.from_numpy(rng.integers(0, width, count) - side // 2).to(images.device)
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[
        :, None, :
    ]
    return images.masked_fill(inside[:, None], 0.0)


def mixup(
    inputs: Tensor, targets: Tensor, rng: np.random.Generator, alpha: float
) -> tuple[Tensor, Tensor]:
    """Mix each example with another of the minibatch (Zhang et al. 2018).

    ``x = w x_i + (1 - w) x_j`` and the same for the targets, ``w ~ Beta(alpha, alpha)`` drawn
    once for the minibatch.

    Args:
        inputs: (N, ...).
        targets: (N, K) float, one-hot for classes.
        rng: source of the weight and of the pairs.
        alpha: parameter of the Beta distribution; small values mix little.

    Examples:
        >>> x, t = mixup(torch.ones(3, 2), torch.eye(3), np.random.default_rng(0), 0.2)
        >>> bool(torch.allclose(t.sum(1), torch.ones(3)))
        True
    """
    weight = float(rng.beta(alpha, alpha))
    pairs = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
    return torch.lerp(inputs[pairs], inputs, weight), torch.lerp(targets[pairs], targets, weight)


class Augmentation(NamedTuple):
    """A named augmentation with its strength (None: the usual one for the image size)."""

    name: str
    strength: float | None


class _Kind(NamedTuple):
    apply: Callable[[Tensor, Draws, float], Tensor]
    usual: Callable[[int], float]  # from the shorter image side in pixels
    wants: str
    valid: Callable[[float], bool]
    normalized: bool  # applied after normalization


def _whole(value: float) -> bool:
    return value >= 1 and value == math.floor(value)


KINDS: dict[str, _Kind] = {
    "crop": _Kind(crop, lambda side: max(1, side // 8), "padding in whole pixels", _whole, False),
    "flip": _Kind(flip, lambda _: 0.5, "a probability in (0, 1]", lambda p: 0 < p <= 1, False),
    "rotate": _Kind(rotate, lambda _: 10.0, "degrees in (0, 180]", lambda d: 0 < d <= 180, False),
    "cutout": _Kind(cutout, lambda side: max(1, side // 4), "whole pixels", _whole, True),
}
MIXUP_ALPHA = 0.2
NAMES = (*KINDS, "mixup")


def parse_augmentations(words: Sequence[str]) -> tuple[Augmentation, ...]:
    """Read ``["crop", "rotate=5"]``.

    Raises:
        RecipeError: unknown name, or a strength that the augmentation cannot have.

    Examples:
        >>> parse_augmentations(["crop=2", "flip"])
        (Augmentation(name='crop', strength=2.0), Augmentation(name='flip', strength=None))
    """
    found = tuple(_parse_word(word) for word in words)
    names = [item.name for item in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise RecipeError(f"augment names {twice!r} twice; name it once")
    return found


def _parse_word(word: str) -> Augmentation:
    name, given, text = word.partition("=")
    name = name.strip().lower()
    if name not in NAMES:
        raise RecipeError(
            f"augment got {name!r}, wants some of {', '.join(NAMES)}{suggestion(name, NAMES)}"
        )
    if not given:
        return Augmentation(name, None)
    wants = "an alpha above 0" if name == "mixup" else KINDS[name].wants
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    valid = strength > 0 if name == "mixup" else KINDS[name].valid(strength)
    if not (valid and math.isfinite(strength)):
        raise RecipeError(f"augment {name} got {text!r}, wants {wants}, such as {name}=2")
    return Augmentation(name, strength)


def augment_images(
    images: Tensor,
    augmentations: Sequence[Augmentation],
    rng: Draws,
    *,
    normalized: bool,
) -> Tensor:
    """Apply those augmentations that belong before (or after) normalization, in table order."""
    strengths = {item.name: item.strength for item in augmentations}
    side = min(images.shape[2:])
    for name, kind in KINDS.items():
        if name in strengths and kind.normalized == normalized:
            images = kind.apply(images, rng, strengths[name] or kind.usual(side))
    return images
