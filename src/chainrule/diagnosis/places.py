"""Places: where in the user's own files something is written."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType

from chainrule.answer import Answer

_LIBRARIES = tuple(
    str(Path(folder)) + "/"
    for folder in {
        str(Path(__file__).resolve().parents[1]),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)
_TORCH = ("/torch/", "/chainrule/", "/runpy.py", "/contextlib.py")


@dataclass(frozen=True)
class Place(Answer):
    """A line in a file.

    Attributes:
        file: as Python knows it.
        line: counted from 1.
        function: the function that the line belongs to.
    """

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.short}:{self.line}"

    @property
    def short(self) -> str:
        """The file as seen from the working folder where it lies below it."""
        try:
            return str(Path(self.file).relative_to(Path.cwd()))
        except (ValueError, OSError):
            return self.file

    @property
    def text(self) -> str:
        """The line itself, without its indentation."""
        return linecache.getline(self.file, self.line).strip()


def user_frame(frame: FrameType | None = None) -> FrameType | None:
    """The innermost frame of the user's own code.

    That is code which lies neither in the standard library nor among installed packages; for a
    script that is itself an installed package, code that is not PyTorch's.

    Args:
        frame: where to begin; the caller by default.
    """
    first = frame or sys._getframe(1)
    found: FrameType | None = first
    while found is not None and not is_users(found.f_code.co_filename):
        found = found.f_back
    return found or _outside_torch(first)


def _outside_torch(frame: FrameType | None) -> FrameType | None:
    while frame is not None and _of_torch(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def place_of(frame: FrameType | None) -> Place | None:
    """The line that a frame is at."""
    if frame is None:
        return None
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def user_place(frame: FrameType | None = None) -> Place | None:
    """The line of the user's own code that led here; None where there is none.

    Examples:
        >>> user_place() is None or user_place().line > 0
        True
    """
    return place_of(user_frame(frame or sys._getframe(1)))


@lru_cache(maxsize=4096)
def is_users(file: str) -> bool:
    """Whether a file is neither of the standard library nor of an installed package.

    Examples:
        >>> is_users(linecache.__file__), is_users("/home/ada/train.py")
        (False, True)
    """
    if file.startswith("<"):
        return file.startswith(("<ipython", "<stdin>", "<string>", "<doctest"))
    if "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return not file.startswith(_LIBRARIES)


@lru_cache(maxsize=4096)
def _of_torch(file: str) -> bool:
    return file.startswith("<") or any(part in file for part in _TORCH)
