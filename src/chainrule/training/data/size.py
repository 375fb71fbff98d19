"""Size: how much memory a set will take, before it is read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from chainrule.training.data.folder import SUFFIXES


def size_in_memory(path: Path, image_size: int | None = None) -> int:
    """Bytes of the inputs of ``path`` in memory, as far as that is seen without reading them.

    Args:
        path: an ``.npz`` file (its arrays), an image folder (as many as there are, each as large
            as the first), another file (its own size); 0 for a name.
        image_size: pixels a side that images are resized to.
    """
    if path.is_dir():
        files = (item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES)
        first = next(files, None)
        return 0 if first is None else (1 + sum(1 for _ in files)) * _pixels(first, image_size)
    if not path.is_file():
        return 0
    if path.suffix.lower() == ".npz" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return sum(item.file_size for item in archive.infolist())
    return path.stat().st_size


def _pixels(file: Path, image_size: int | None) -> int:
    try:
        with Image.open(file) as image:
            width, height = (image_size, image_size) if image_size else image.size
            return width * height * len(image.getbands())
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return 0  # reading it will say what is wrong with it
