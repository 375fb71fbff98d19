"""Folder: images in one subfolder per class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    found = layout(path, size)
    made = {
        what: _part(folder, found.classes, size, found.shape)
        for what, folder in found.folders.items()
    }
    return Raw(
        name=path.name or str(path),
        source=str(path),
        classes=found.classes,
        main=made["train"],
        test=made.get("test"),
        validation=made.get("validation"),
    )


@dataclass(frozen=True)
class Layout:
    """What an image folder holds.

    Attributes:
        classes: names of the subfolders.
        shape: (C, H, W) of every image.
        folders: folder of each part, "train" and perhaps "test" and "validation".
    """

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    folders: dict[str, Path]


def layout(path: Path, size: int | None) -> Layout:
    """Classes, shape and parts of an image folder; only the first image is decoded.

    Raises:
        DataError: no images, fewer than two classes, an image that cannot be read.
    """
    top = _subfolder(path, _TRAIN) or path
    classes = tuple(sorted(item.name for item in top.iterdir() if _holds_images(item)))
    if len(classes) < 2:
        found = f"one class ('{classes[0]}')" if classes else "no subfolder with images"
        raise DataError(
            f"image folder '{path}' has {found}, wants two or more subfolders, one per class"
        )
    folders = {"train": top}
    for what, names in (("test", _TEST), ("validation", _VALIDATION)):
        held = _subfolder(path, names)
        if held is not None and top != path:
            folders[what] = held
    return Layout(classes, _common_shape(top, classes, size), folders)


def _subfolder(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)


def images_of(folder: Path) -> list[Path]:
    """The image files of a folder and its subfolders, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and bool(images_of(folder))


def _common_shape(top: Path, classes: tuple[str, ...], size: int | None) -> tuple[int, ...]:
    """Shape of the first image; three channels as soon as any image has colour."""
    files = [path for name in classes for path in images_of(top / name)]
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
    pairs = list(examples_of(folder, classes, size, shape))
    if not pairs:
        raise DataError(f"folder '{folder}' has no images: fill it or remove it")
    images, labels = zip(*pairs, strict=True)
    return RawPart(np.stack(images), np.array(labels, np.int64))


def examples_of(
    folder: Path, classes: tuple[str, ...], size: int | None, shape: tuple[int, ...]
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Images (C, H, W) and their labels, one after the other.

    Raises:
        DataError: an image that cannot be read or has another size, a class that is not known.
    """
    strangers = [
        item.name for item in folder.iterdir() if _holds_images(item) and item.name not in classes
    ]
    if strangers:
        raise DataError(f"folder '{folder}' has class '{strangers[0]}', which training does not")
    for label, name in enumerate(classes):
        for path in images_of(folder / name):
            image = _read(path, size, grey=shape[0] == 1)
            if image.shape != shape:
                raise DataError(
                    f"image '{path}' is {image.shape[1]}x{image.shape[2]}, the first one is "
                    f"{shape[1]}x{shape[2]}: give --image-size to resize them all"
                )
            yield image, label


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
