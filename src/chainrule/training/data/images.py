"""Images: a few pictures from a file or a folder as one tensor, without classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from chainrule.errors import DataError
from chainrule.training.data.folder import SUFFIXES

_MOST = 256


def image_batch(path: Path, shape: tuple[int, ...] | None = None) -> Tensor:
    """Images of a file or of a folder and its subfolders, standardized, as (N, C, H, W).

    Args:
        path: an image file, or a folder; the first 256 in alphabetical order are taken.
        shape: (C, H, W) to convert and resize to; the first image's own by default.

    Raises:
        DataError: no such file, no image in it, or one that cannot be read.
    """
    if not path.exists():
        raise DataError(f"images got '{path}', which does not exist: check the path")
    files = (
        [path]
        if path.is_file()
        else sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES)[:_MOST]
    )
    if not files:
        raise DataError(f"images folder '{path}' holds no {', '.join(SUFFIXES)}")
    pictures = []
    for file in files:
        picture = _read(file, shape)
        shape = shape or tuple(picture.shape)
        pictures.append(picture)
    batch = torch.stack(pictures)
    return (batch - batch.mean()) / batch.std().clamp_min(1e-6)


def _read(file: Path, shape: tuple[int, ...] | None) -> Tensor:
    try:
        with Image.open(file) as opened:
            grey = opened.mode in ("L", "1") if shape is None else shape[0] == 1
            image = opened.convert("L" if grey else "RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"image '{file}' cannot be read: {error}") from None
    if shape is not None:
        image = image.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    values = np.asarray(image, np.float32) / 255
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(values))
