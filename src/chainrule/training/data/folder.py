"""Folder: images in one subfolder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from chainrule.errors import DataError
from chainrule.training.data.raw import Raw, RawPart

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
_TRAIN, _TEST, _VALIDATION = ("train", "training"), ("test",), ("validation", "val", "valid")
_GREY = ("L", "1", "I", "I;16", "F", "LA")


def read_folder(path: Path, size: int | None) -> Raw:
    """Images of ``path/CLASS/*.png``, or of ``path/train/CLASS/...`` with test/ beside it.

    Args:
        path: the folder.
        size: resize all images to this many pixels a side (bilinear); None: all have one size.

    Raises:
        DataError: no images, fewer than two classes, unreadable or unequal images.
    """
    top = _subfolder(path, _TRAIN) or path
    classes = tuple(sorted(item.name for item in top.iterdir() if _holds_images(item)))
    if len(classes) < 2:
        found = f"one class ('{classes[0]}')" if classes else "no subfolder with images"
        raise DataError(
            f"image folder '{path}' has {found}, wants two or more subfolders, one per class"
        )
    test, validation = _subfolder(path, _TEST), _subfolder(path, _VALIDATION)
    shape = _common_shape(top, classes, size)
    return Raw(
        name=path.name or str(path),
        source=str(path),
        classes=classes,
        main=_part(top, classes, size, shape),
        test=_part(test, classes, size, shape) if test and top != path else None,
        validation=_part(validation, classes, size, shape) if validation and top != path else None,
    )


def _subfolder(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and bool(_images(folder))


def _common_shape(top: Path, classes: tuple[str, ...], size: int | None) -> tuple[int, ...]:
    """Shape of the first image; three channels as soon as any image has colour."""
    files = [path for name in classes for path in _images(top / name)]
    _, height, width = _read(files[0], size, grey=None).shape
    return (1 if all(_mode(path) in _GREY for path in files) else 3, height, width)


def _mode(path: Path) -> str:
    try:
        with Image.open(path) as image:
            return image.mode
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"image '{path}' cannot be read: {error}; mend or remove it") from None


def _part(
    folder: Path, classes: tuple[str, ...], size: int | None, shape: tuple[int, ...]
) -> RawPart:
    strangers = [
        item.name for item in folder.iterdir() if _holds_images(item) and item.name not in classes
    ]
    if strangers:
        raise DataError(f"folder '{folder}' has class '{strangers[0]}', which training does not")
    images, labels = [], []
    for label, name in enumerate(classes):
        for path in _images(folder / name):
            image = _read(path, size, grey=shape[0] == 1)
            if image.shape != shape:
                raise DataError(
                    f"image '{path}' is {image.shape[1]}x{image.shape[2]}, the first one is "
                    f"{shape[1]}x{shape[2]}: give --image-size to resize them all"
                )
            images.append(image)
            labels.append(label)
    return RawPart(np.stack(images), np.array(labels, np.int64))


def _read(path: Path, size: int | None, grey: bool | None) -> NDArray[np.uint8]:
    """(C, H, W) uint8; ``grey`` None keeps what the image is."""
    try:
        with Image.open(path) as image:
            wanted = "L" if (image.mode in _GREY if grey is None else grey) else "RGB"
            converted = eight_bits(image).convert(wanted)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"image '{path}' cannot be read: {error}; mend or remove it") from None
    if size is not None:
        converted = converted.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(converted, np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 bits or of numbers scaled to 8 bits; Pillow alone would clip it at 255."""
    if image.mode not in ("I", "I;16", "I;16B", "F"):
        return image
    values = np.asarray(image, np.float64)
    scale = 255 / 65535 if values.max(initial=0) > 255 else 1.0
    return Image.fromarray(np.clip(values * scale + 0.5, 0, 255).astype(np.uint8))
