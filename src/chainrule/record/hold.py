"""Hold: the lock that says a run's process is alive. The system drops it with the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chainrule.errors import RunError

try:
    import fcntl
except ImportError:  # Windows: the lock file alone stands for the hold
    fcntl = None  # type: ignore[assignment]

_LOCKS = fcntl is not None


@contextmanager
def hold(path: Path, run: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the context lasts.

    Raises:
        RunError: another process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _take(handle):
            raise RunError(
                f"run '{run}' is being trained by another process: wait for it, or stop it"
            )
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock file ``path``."""
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDWR)
    try:
        return not _take(handle)
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    if not _LOCKS:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
