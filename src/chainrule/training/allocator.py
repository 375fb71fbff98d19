"""Allocator: memory that a step has freed stays with the process for the next one.

A step frees its activations and asks for as much again in the next. glibc gives large blocks back
to the system, which clears every page of theirs anew when they are wanted again: for a
convolutional network with batch normalization that was a quarter of a step on two cores. While a
network is trained on the CPU, glibc keeps them; nothing is computed in another way.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# parameters of mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MIB = 2**20
# blocks from 32 MiB on are mapped one by one, as ever: in the heap glibc before 2.38 may not find
# an aligned block again that it has freed, and the heap would grow
_KEEPING = {_MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: -1}
# glibc's own, its two thresholds where it raises them to by itself in a process with large blocks:
# from the first call of mallopt on it no longer moves them
_USUAL = {_MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 64 * _MIB}


@contextmanager
def memory_kept() -> Iterator[bool]:
    """Context in which freed memory stays with the process; gives whether that could be had.

    At its end what is free goes back to the system. It does nothing where the C library is not
    glibc, or where the user has tuned its allocator (``MALLOC_*_``, ``GLIBC_TUNABLES``).

    Examples:
        >>> with memory_kept() as kept:
        ...     kept in (True, False)
        True
    """
    library = None if tuned(os.environ) else _glibc()
    if library is None:
        yield False
        return
    _set(library, _KEEPING)
    try:
        yield True
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def tuned(environment: Mapping[str, str]) -> bool:
    """Whether the user has tuned glibc's allocator.

    Examples:
        >>> tuned({"MALLOC_TRIM_THRESHOLD_": "0"}), tuned({"GLIBC_TUNABLES": "glibc.rtld.nns=2"})
        (True, False)
    """
    named = any(name.startswith("MALLOC_") and name.endswith("_") for name in environment)
    return named or "glibc.malloc." in environment.get("GLIBC_TUNABLES", "")


def _glibc() -> Any:
    """The C library of this process, or None where it is another."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def _set(library: Any, values: Mapping[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)
