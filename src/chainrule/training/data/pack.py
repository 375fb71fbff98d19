"""Pack: a set as a folder of ``.npy`` files, which can be streamed."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chainrule.answer import Answer
from chainrule.errors import DataError
from chainrule.record.atomic import publish_folder
from chainrule.training.data.array_folder import CLASSES
from chainrule.training.data.folder import Layout, examples_of, images_of, layout


@dataclass(frozen=True)
class Packed(Answer):
    """What was packed.

    Attributes:
        folder: where the files are.
        files: their names with their bytes.
        shape: (C, H, W) of an image; () when arrays were taken out of an ``.npz`` file.
        classes: names of the classes, in the order of their labels.
    """

    folder: str
    files: dict[str, int]
    shape: tuple[int, ...]
    classes: tuple[str, ...]


def pack(
    source: Path,
    target: Path,
    image_size: int | None = None,
    progress: Callable[[int, int], object] = lambda done, images: None,
) -> Packed:
    """Write an image folder or an ``.npz`` file as ``.npy`` files, one image in memory at a time.

    Args:
        source: a folder with one subfolder of images per class, or an ``.npz`` file.
        target: a folder that is not there yet; it appears when all is written.
        image_size: resize all images to this many pixels a side.
        progress: told how many images are done, and of how many.

    Raises:
        DataError: the source cannot be read, or the target is there or cannot be written.
    """
    if target.exists():
        raise DataError(f"folder '{target}' is there already: name one that is not")
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        found = _write(source, temporary, image_size, progress)
        files = {item.name: item.stat().st_size for item in sorted(temporary.iterdir())}
        publish_folder(temporary, target)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"folder '{target}' cannot be written from '{source}': {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shape, classes = (found.shape, found.classes) if found else ((), ())
    return Packed(str(target), files, shape, classes)


def _write(
    source: Path, target: Path, size: int | None, progress: Callable[[int, int], object]
) -> Layout | None:
    if source.is_dir():
        found = layout(source, size)
        _images(found, target, size, progress)
        (target / CLASSES).write_text("\n".join(found.classes) + "\n", encoding="utf-8")
        return found
    if not (source.is_file() and zipfile.is_zipfile(source)):
        raise DataError(f"pack got '{source}', wants an image folder or an .npz file that exists")
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            if Path(name).name != name or not name.endswith(".npy"):
                raise DataError(f"file '{source}' holds '{name}', wants arrays as np.savez writes")
            archive.extract(name, target)
    return None


def _images(
    found: Layout, target: Path, size: int | None, progress: Callable[[int, int], object]
) -> None:
    counts = {
        what: sum(len(images_of(folder / name)) for name in found.classes)
        for what, folder in found.folders.items()
    }
    done, every = 0, sum(counts.values())
    for what, folder in found.folders.items():
        shape = (counts[what], *found.shape)
        images = np.lib.format.open_memmap(
            target / f"x_{what}.npy", mode="w+", dtype=np.uint8, shape=shape
        )
        labels = np.zeros(counts[what], np.int64)
        examples = examples_of(folder, found.classes, size, found.shape)
        for place, (image, label) in enumerate(examples):
            images[place], labels[place] = image, label
            done += 1
            progress(done, every)
        images.flush()
        np.save(target / f"y_{what}.npy", labels)
