"""Files and folders are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from chainrule.record.atomic import replace_folder, write_atomically


def test_the_new_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name, text in (("final", "old"), ("temporary", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(text)
    replace_folder(tmp_path / "temporary", tmp_path / "final")
    assert (tmp_path / "final" / "x").read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["final"]


def test_a_failed_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("final", "temporary"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    real = Path.rename

    def broken(self: Path, target: Path) -> Path:
        if self.name == "temporary":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OSError, match="Input/output"):
        replace_folder(tmp_path / "temporary", tmp_path / "final")
    assert (tmp_path / "final" / "x").read_text() == "final"
