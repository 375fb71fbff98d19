"""Files and folders are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from chainrule.record.atomic import publish_folder, write_atomically


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


def _folders(tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    _folders(tmp_path, "temporary")
    publish_folder(tmp_path / "temporary", tmp_path / "final")
    assert (tmp_path / "final" / "x").read_text() == "temporary"
    assert [item.name for item in tmp_path.iterdir()] == ["final"]


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    _folders(tmp_path, "temporary", "final")
    with pytest.raises(OSError, match="not empty"):
        publish_folder(tmp_path / "temporary", tmp_path / "final")
    assert (tmp_path / "final" / "x").read_text() == "final"
