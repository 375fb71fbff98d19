"""CIFAR-10 and CIFAR-100, binary or Python batches (Krizhevsky 2009)."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.training.data.find import missing
from chainrule.training.data.raw import Raw, RawPart

_PIXELS = 3 * 32 * 32
_PUBLISHED = "https://www.cs.toronto.edu/~kriz/cifar.html"
_CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
# set: (subfolders, train files, test file, label bytes before each image, key of the labels)
_TEN_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_BINARY = {
    "cifar10": ("cifar-10-batches-bin", tuple(f"{n}.bin" for n in _TEN_TRAIN), "test_batch.bin", 1),
    "cifar100": ("cifar-100-binary", ("train.bin",), "test.bin", 2),
}
_PYTHON = {
    "cifar10": ("cifar-10-batches-py", _TEN_TRAIN, "test_batch", b"labels"),
    "cifar100": ("cifar-100-python", ("train",), "test", b"fine_labels"),
}


def read_cifar(name: str, folders: list[Path]) -> Raw:
    """CIFAR-10 or CIFAR-100 (fine labels) from the first folder that holds all its files.

    Raises:
        DataError: files missing or damaged, or Python batches that hold anything but arrays.
    """
    classes = _CIFAR10 if name == "cifar10" else tuple(str(number) for number in range(100))
    for folder in folders:
        for where in (folder / _BINARY[name][0], folder):
            _, train, test, labels = _BINARY[name]
            if all((where / file).is_file() for file in (*train, test)):
                main = _join([_read_binary(where / file, labels) for file in train])
                return Raw(name, str(where), classes, main, _read_binary(where / test, labels))
        for where in (folder / _PYTHON[name][0], folder):
            _, train, test, key = _PYTHON[name]
            if all((where / file).is_file() for file in (*train, test)):
                main = _join([_read_python(where / file, key) for file in train])
                return Raw(name, str(where), classes, main, _read_python(where / test, key))
    wanted = [*_BINARY[name][1], _BINARY[name][2]]
    raise missing(name, [*wanted, "or the Python batches of the same names"], folders, _PUBLISHED)


def _join(parts: list[RawPart]) -> RawPart:
    return RawPart(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.targets for part in parts]),
    )


def _read_binary(path: Path, labels: int) -> RawPart:
    """Rows of ``labels`` label bytes (the last one is the class) and 3,072 pixels."""
    data = np.fromfile(path, np.uint8)
    if not data.size or data.size % (labels + _PIXELS):
        raise DataError(
            f"file '{path}' has {data.size} bytes, wants a multiple of {labels + _PIXELS}: fetch "
            "it again"
        )
    rows = data.reshape(-1, labels + _PIXELS)
    return RawPart(rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, labels - 1].astype(np.int64))


def _read_python(path: Path, key: bytes) -> RawPart:
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32)
        labels: NDArray[np.int64] = np.asarray(batch[key], np.int64)
    except DataError as error:
        raise DataError(f"file '{path}' {error}") from None
    # a damaged pickle can fail in nearly any of these ways (Python docs, pickle.UnpicklingError)
    except (pickle.UnpicklingError, OSError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"file '{path}' is no CIFAR batch ({error}): fetch it again") from None
    except (TypeError, AttributeError, IndexError, ImportError) as error:
        raise DataError(f"file '{path}' is no CIFAR batch ({error}): fetch it again") from None
    return RawPart(images, labels)


class _ArraysOnly(pickle.Unpickler):
    """Reads the published batches, which are pickles, and nothing else: no code is looked up.

    Only the three names that rebuild a NumPy array are known; every other name is refused before
    anything of it is imported or called.
    """

    _MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
    _KNOWN = frozenset({"_reconstruct", "ndarray", "dtype"})

    def find_class(self, module: str, name: str) -> Any:
        if name in self._KNOWN and module in self._MODULES:
            if name == "_reconstruct":
                return _reconstruct
            return {"ndarray": np.ndarray, "dtype": np.dtype}[name]
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise DataError(f"asks for {module}.{name}, which loading would execute: refused")


def _reconstruct(kind: type, shape: tuple[int, ...], code: bytes) -> Any:
    """What numpy's own does for plain arrays: an empty one, filled by its state."""
    if kind is not np.ndarray:
        raise DataError("holds something other than plain arrays: refused")
    return np.ndarray.__new__(np.ndarray, shape, np.dtype("b"))


def _encode(text: str, encoding: str) -> bytes:
    """Python 3 writes bytes as text encoded in latin1."""
    return text.encode("latin1") if encoding == "latin1" else text.encode("ascii")
