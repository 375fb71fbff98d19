"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never half.

    Args:
        path: where to; its folder must exist.
        data: the whole content.

    Raises:
        OSError: it cannot be written (full disk, no permission); ``path`` is as it was.

    Examples:
        >>> target = getfixture("tmp_path") / "a.txt"
        >>> write_atomically(target, b"whole")
        >>> target.read_bytes()
        b'whole'
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files private
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def publish_folder(temporary: Path, final: Path) -> None:
    """Give a fully written folder its final name, which no other may have.

    Every file is on the disk before the name changes, so after a crash ``final`` is whole or
    absent.

    Args:
        temporary: the written folder, on the same file system.
        final: its name from now on.

    Raises:
        OSError: it cannot be written, or ``final`` is there already.
    """
    for path in temporary.iterdir():
        _sync(path)
    _sync_folder(temporary)
    temporary.rename(final)
    _sync_folder(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(path: Path) -> None:
    """A rename is safe only once the folder itself is on the disk (POSIX; elsewhere no need)."""
    if os.name == "posix":
        _sync(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
