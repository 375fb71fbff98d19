"""Augmentations one image and one pixel at a time, from their definitions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float64]


def crop(images: Images, rows: list[int], columns: list[int], padding: int) -> Images:
    result = np.zeros_like(images)
    count, channels, height, width = images.shape
    for n in range(count):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    y, x = i + rows[n] - padding, j + columns[n] - padding
                    if 0 <= y < height and 0 <= x < width:
                        result[n, c, i, j] = images[n, c, y, x]
    return result


def rotate(image: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Rotate (H, W) about its centre; bilinear, zero outside."""
    height, width = image.shape
    result = np.zeros_like(image)
    cy, cx = (height - 1) / 2, (width - 1) / 2
    for i in range(height):
        for j in range(width):
            dy, dx = i - cy, j - cx
            x = math.cos(angle) * dx - math.sin(angle) * dy + cx
            y = math.sin(angle) * dx + math.cos(angle) * dy + cy
            result[i, j] = _bilinear(image, y, x)
    return result


def _bilinear(image: NDArray[np.float64], y: float, x: float) -> float:
    total = 0.0
    for yy in (math.floor(y), math.floor(y) + 1):
        for xx in (math.floor(x), math.floor(x) + 1):
            if 0 <= yy < image.shape[0] and 0 <= xx < image.shape[1]:
                total += image[yy, xx] * (1 - abs(y - yy)) * (1 - abs(x - xx))
    return total
