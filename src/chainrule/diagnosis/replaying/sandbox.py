"""Sandbox: what a script writes lands in a scratch folder; what it reads back comes from there.

Python's own ways to files are led elsewhere (``open``, ``os``, ``sqlite3``, ``torch.save``). A net
below them refuses every other file that is opened for writing outside of the scratch folder.
"""

from __future__ import annotations

import builtins
import errno
import functools
import io
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FREE = ("/dev/", "/proc/", "/sys/")


class Sandbox:
    """Leads all writing of this process into layers of scratch folders.

    Args:
        scratch: the folder that everything below belongs to.
    """

    def __init__(self, scratch: Path | str) -> None:
        self.scratch = str(Path(scratch).resolve())
        self._layers: list[str] = []
        self._gone: set[str] = set()
        self._original: dict[str, Callable[..., Any]] = {}
        self._quiet = False
        self.written: set[str] = set()

    def enter(self) -> None:
        """Begin; there is no way back in this process."""
        self.layer("stage")
        for name in ("open", "stat", "lstat", "mkdir", "rmdir", "remove", "unlink", "rename",
                     "replace", "listdir", "scandir", "access", "chmod", "utime", "truncate",
                     "symlink", "link"):  # fmt: skip
            self._original[name] = getattr(os, name)
        for name in ("remove", "unlink", "rmdir"):
            setattr(os, name, self._path_call(self._remove, name))
        for name in ("rename", "replace"):
            setattr(os, name, self._rename)
        for name in ("stat", "lstat", "access", "chmod", "utime", "truncate"):
            setattr(os, name, self._reading(self._original[name], copies=name in (
                "chmod", "utime", "truncate")))  # fmt: skip
        for name in ("symlink", "link"):
            setattr(os, name, self._linking(self._original[name]))
        os.mkdir = self._mkdir
        os.listdir = self._listdir
        os.scandir = self._scandir
        os.open = self._os_open
        opened = io.open
        builtins.open = io.open = self._opening(opened)
        sqlite3.connect = self._connecting(sqlite3.connect)
        shutil.rmtree = self._rmtree  # type: ignore[assignment]
        self._lead_torch()
        tempfile.tempdir = self._made(Path(self.scratch) / "temporary")
        os.environ["TMPDIR"] = tempfile.tempdir
        sys.addaudithook(self._audit)

    def layer(self, name: str) -> None:
        """From now on new files go to a folder of their own, on top of those so far."""
        self._layers.insert(0, self._made(Path(self.scratch) / "files" / name))

    def _made(self, folder: Path) -> str:
        make = self._original.get("mkdir", os.mkdir)
        missing = []
        while not self._exists(str(folder)):
            missing.append(folder)
            folder = folder.parent
        for item in reversed(missing):
            make(str(item))
        return str(missing[0] if missing else folder)

    # -- where a path leads

    def _is_free(self, path: str) -> bool:
        return path.startswith((self.scratch + "/", *_FREE)) or path == self.scratch

    @staticmethod
    def _absolute(path: Any) -> str | None:
        if isinstance(path, int):
            return None
        try:
            text = os.fspath(path)
        except TypeError:
            return None
        if isinstance(text, bytes):
            text = os.fsdecode(text)
        found: str = os.path.abspath(text)  # noqa: PTH100 - Path would ask the file system
        return found

    def _exists(self, path: str) -> bool:
        try:
            self._original.get("stat", os.stat)(path)
        except (OSError, ValueError):
            return False
        return True

    def _inside(self, path: str, layer: str) -> str:
        return layer + path

    def reads(self, path: Any) -> Any:
        """The file that is read in its place."""
        found = self._absolute(path)
        if found is None or self._is_free(found):
            return path
        for layer in self._layers:
            if self._exists(self._inside(found, layer)):
                return self._inside(found, layer)
        if found in self._gone:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return path

    def writes(self, path: Any, keeps: bool = True) -> Any:
        """The file that is written in its place, with the contents of the old one if it keeps."""
        found = self._absolute(path)
        if found is None or self._is_free(found):
            return path
        target = self._inside(found, self._layers[0])
        parent = os.path.dirname(found)  # noqa: PTH120
        if not self._exists(self.reads(parent)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._made(Path(target).parent)
        if keeps and not self._exists(target):
            source = self.reads(path) if found not in self._gone else None
            if source is not None and self._exists(str(source)):
                shutil.copyfile(str(source), target)
        self.written.add(found)
        return target

    # -- the functions in place of Python's

    def _opening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if isinstance(mode, str) and any(letter in mode for letter in "wax+"):
                if "x" in mode and self._exists(str(self.reads(file))):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
                return original(self.writes(file, "w" not in mode), mode, *args, **kwargs)
            return original(self.reads(file), mode, *args, **kwargs)

        return opened

    def _os_open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if kwargs.get("dir_fd") is None:
            path = self.writes(path) if flags & _WRITES else self.reads(path)
        found: int = self._original["open"](path, flags, *args, **kwargs)
        return found

    def _reading(self, original: Callable[..., Any], *, copies: bool) -> Callable[..., Any]:
        lead = self.writes if copies else self.reads

        @functools.wraps(original)
        def read(path: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("dir_fd") is not None:
                return original(path, *args, **kwargs)
            try:
                place = lead(path)
            except FileNotFoundError:
                if original.__name__ == "access":
                    return False
                raise
            return original(place, *args, **kwargs)

        return read

    def _path_call(self, action: Callable[[str, str], None], name: str) -> Callable[..., Any]:
        original = self._original[name]

        @functools.wraps(original)
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            found = self._absolute(path)
            if kwargs.get("dir_fd") is not None or found is None or self._is_free(found):
                return original(path, *args, **kwargs)
            return action(found, name)

        return call

    def _remove(self, path: str, name: str) -> None:
        place = str(self.reads(path))
        if not self._exists(place):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if place.startswith(self._layers[0]):
            self._original[name](place)
        self._gone.add(path)

    def _rename(self, source: Any, target: Any, **kwargs: Any) -> None:
        first, second = self._absolute(source), self._absolute(target)
        if first is None or second is None or (self._is_free(first) and self._is_free(second)):
            self._original["replace"](source, target, **kwargs)
            return
        place = self.writes(first) if not self._is_free(first) else first
        goal = self.writes(second, keeps=False) if not self._is_free(second) else second
        self._original["replace"](place, goal)
        self._gone.add(first)

    def _linking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def link(source: Any, target: Any, *args: Any, **kwargs: Any) -> None:
            original(source, self.writes(target, keeps=False), *args, **kwargs)

        return link

    def _mkdir(self, path: Any, *args: Any, **kwargs: Any) -> None:
        found = self._absolute(path)
        if found is None or self._is_free(found) or kwargs.get("dir_fd") is not None:
            self._original["mkdir"](path, *args, **kwargs)
            return
        if found not in self._gone and self._exists(str(self.reads(found))):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._original["mkdir"](self.writes(found, keeps=False))

    def _listdir(self, path: Any = ".") -> list[Any]:
        return [entry.name for entry in self._entries(path)]

    def _scandir(self, path: Any = ".") -> Any:
        return _Entries(self._entries(path)) if not isinstance(path, int) else (
            self._original["scandir"](path)
        )  # fmt: skip

    def _entries(self, path: Any) -> list[Any]:
        found = self._absolute(path)
        scan = self._original["scandir"]
        if found is None or self._is_free(found):
            with scan(path) as entries:
                return list(entries)
        merged: dict[str, Any] = {}
        places = [self._inside(found, layer) for layer in self._layers]
        places = [item for item in places if self._exists(item)]
        if found not in self._gone and (self._exists(found) or not places):
            places.append(str(path))
        for place in places:
            with scan(place) as entries:
                for entry in entries:
                    merged.setdefault(entry.name, entry)
        return [
            entry for name, entry in merged.items()
            if f"{found}/{name}" not in self._gone or entry.path.startswith(self.scratch)
        ]  # fmt: skip

    def _rmtree(self, path: Any, *_args: Any, **_kwargs: Any) -> None:
        found = self._absolute(path)
        if found is not None and not self._is_free(found):
            self._gone.add(found)

    def _connecting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def connect(database: Any, *args: Any, **kwargs: Any) -> Any:
            plain = isinstance(database, str) and database.startswith((":", "file:"))
            place = database if plain else self.writes(database)
            return original(place, *args, **kwargs)

        return connect

    def _lead_torch(self) -> None:
        """``torch.save`` writes files by itself, not by way of Python."""
        import torch

        original = torch.save

        @functools.wraps(original)
        def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
            if isinstance(f, str | os.PathLike):
                f = self.writes(f, keeps=False)
            original(obj, f, *args, **kwargs)

        torch.save = save

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _mode, flags = args
            if isinstance(flags, int) and flags & _WRITES:
                self._refuse(path)
        elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"):
            self._refuse(args[0])
        elif event == "os.rename":
            self._refuse(args[1])
            self._refuse(args[0])

    def _refuse(self, path: Any) -> None:
        found = None if isinstance(path, int) else self._absolute(path)
        if found is not None and not self._is_free(found):
            raise PermissionError(
                errno.EACCES, "chainrule diagnoses: nothing outside of its scratch folder is "
                "written", found,
            )  # fmt: skip


class _Entries:
    """What ``os.scandir`` gives: an iterator that is a context manager."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Any:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_args: object) -> None:
        return None

    def close(self) -> None:
        """Nothing is open."""
