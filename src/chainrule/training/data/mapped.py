"""Mapped: an array in a ``.npy`` file, read where it is wanted and never held as a whole."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError

_PAGE = mmap.ALLOCATIONGRANULARITY


class Mapped:
    """An array in an uncompressed ``.npy`` file, mapped into memory.

    Args:
        path: the file, in C order, of numbers.

    Attributes:
        shape: of the whole array; the first axis is that of the examples.
        dtype: of its elements.
        array: the whole array; only the pages that are touched are read.

    Raises:
        DataError: it is missing, damaged, cut short, in Fortran order or holds Python objects.

    Examples:
        >>> path = getfixture("tmp_path") / "x.npy"
        >>> np.save(path, np.arange(6).reshape(3, 2))
        >>> Mapped(path).read(1, 3).tolist()
        [[2, 3], [4, 5]]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shape, self.dtype, self._start = _header(path)
        self._row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        wanted, found = self._start + len(self) * self._row, path.stat().st_size
        if found < wanted:
            raise DataError(
                f"file '{path}' is {found:,} bytes, its header speaks of {wanted:,}: it was cut "
                "short; write it again"
            )
        with path.open("rb") as file:  # a private copy-on-write map: nothing is ever written to it
            self._map = mmap.mmap(file.fileno(), wanted, access=mmap.ACCESS_COPY)
        whole = np.frombuffer(self._map, np.uint8)[self._start :]
        self.array: NDArray[Any] = whole.view(self.dtype).reshape(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def bytes(self) -> int:
        """Size of the whole array."""
        return len(self) * self._row

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """A copy of rows ``start`` to ``stop``; the file's pages do not stay with the process."""
        rows = self.array[start:stop].copy()
        self._release(start, stop)
        return rows

    def _release(self, start: int, stop: int) -> None:
        """Hand the pages back, so that memory stays flat however long the file is."""
        if not hasattr(self._map, "madvise"):  # Windows
            return
        low = (self._start + start * self._row) // _PAGE * _PAGE
        length = self._start + stop * self._row - low
        if length > 0:
            self._map.madvise(mmap.MADV_DONTNEED, low, length)


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and where the numbers begin."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read is None:
                raise ValueError(f"version {version} of the format")
            shape, fortran, dtype = read(file)
            start = file.tell()
    except (OSError, ValueError) as error:
        raise DataError(f"file '{path}' cannot be read as .npy: {error}") from None
    if dtype.hasobject:
        raise DataError(
            f"file '{path}' holds Python objects, which loading would execute: save plain arrays "
            "of numbers"
        )
    if fortran and len(shape) > 1:
        raise DataError(
            f"file '{path}' is in Fortran order, whose examples do not lie together: save "
            "np.ascontiguousarray of it"
        )
    if not shape or not dtype.itemsize:
        raise DataError(f"file '{path}' is a single number, wants one row per example")
    return shape, dtype, start


def available_memory() -> int | None:
    """Bytes that a process may still take, by the system and by its control group."""
    found = [
        value
        for value in (
            _number(Path("/proc/meminfo"), "MemAvailable:", 1024),
            _number(Path("/sys/fs/cgroup/memory.max"), "", 1),
        )
        if value is not None
    ]
    if found:
        return min(found)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _number(path: Path, key: str, unit: int) -> int | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        line = next(line for line in lines if line.startswith(key))
        return int(line.removeprefix(key).split()[0]) * unit
    except (OSError, ValueError, StopIteration, IndexError):
        return None
