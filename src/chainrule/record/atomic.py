"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
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


def replace_folder(temporary: Path, final: Path) -> None:
    """Publish a fully written folder under its final name, replacing what stood there.

    Every file is on the disk before the name changes, so after a crash ``final`` is the old
    folder, the new one, or (between two renames) absent with the old one aside: never a mixture.

    Args:
        temporary: the written folder, on the same file system.
        final: its name from now on.

    Raises:
        OSError: it cannot be written; what stood at ``final`` is still there.
    """
    for path in temporary.iterdir():
        _sync(path)
    _sync_folder(temporary)
    aside = final.with_name(f".{final.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        final.rename(aside)
    try:
        temporary.rename(final)
    except OSError:
        if aside.exists():
            aside.rename(final)
        raise
    _sync_folder(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


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
