"""IDX: the format of MNIST and Fashion-MNIST, plain or gzipped.

Header, big-endian: two zero bytes, a type byte (8: uint8), the number of dimensions, then each
size in four bytes (LeCun, Cortes & Burges 1998).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.training.data.find import find_files, missing
from chainrule.training.data.raw import Raw, RawPart

_CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}
_PUBLISHED = {
    "mnist": "http://yann.lecun.com/exdb/mnist (mirror: https://ossci-datasets.s3.amazonaws.com/mnist)",
    "fashion-mnist": "https://github.com/zalandoresearch/fashion-mnist",
}
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_idx_set(name: str, folders: list[Path]) -> Raw:
    """MNIST or Fashion-MNIST from the first folder that holds all four files.

    Raises:
        DataError: the files are missing (says which, and where they are published) or damaged.
    """
    for folder in folders:
        found = [find_files(folder, _spellings(file)) for file in _FILES]
        if all(found):
            arrays = [read_idx(path) for path in found if path is not None]
            main = RawPart(arrays[0][:, None], arrays[1])
            test = RawPart(arrays[2][:, None], arrays[3])
            return Raw(name, str(folder), _CLASSES[name], main, test)
    raise missing(name, [f"{file}.gz" for file in _FILES], folders, _PUBLISHED[name])


def _spellings(file: str) -> list[str]:
    dotted = file.replace("-idx", ".idx")
    return [file, f"{file}.gz", dotted, f"{dotted}.gz"]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in one IDX file.

    Raises:
        DataError: empty, not IDX, cut short, or a damaged gzip file.
    """
    data = _content(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != 8:
        what = "is empty" if not data else f"begins with {data[:4]!r}"
        raise DataError(f"file '{path}' {what}, wants an IDX header of uint8: fetch it again")
    dimensions = data[3]
    start = 4 + 4 * dimensions
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], ">u4"))
    if len(shape) != dimensions or len(data) - start != math.prod(shape):
        raise DataError(
            f"file '{path}' holds {max(0, len(data) - start)} bytes after its header, its shape "
            f"{shape} wants {math.prod(shape)}: fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()


def _content(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                return stream.read()
        return path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"file '{path}' cannot be read: {error}; fetch it again") from None
