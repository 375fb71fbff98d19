"""Status line: the last row of a terminal, kept apart from what a script prints.

The terminal is told to scroll only the rows above it (DECSTBM, as ``apt`` does), so that the
script's own output, progress bars included, goes on as ever.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

_SECONDS = 0.2  # between drawings
_FEWEST = 5  # rows that a terminal must have


class StatusLine:
    """One row at the bottom of a terminal; nothing at all where the stream is none.

    Args:
        stream: standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._rows = 0
        self._drawn = 0.0
        self.is_shown = False

    def open(self) -> None:
        """Take the last row, if the stream is a terminal that can do it."""
        if not self._stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
            return
        self._rows = os.get_terminal_size(self._stream.fileno()).lines
        if self._rows < _FEWEST:
            return
        # a new row first, in case the cursor stands on the last one
        self._write(f"\n\x1b7\x1b[1;{self._rows - 1}r\x1b8\x1b[1A")
        self.is_shown = True

    def draw(self, text: str) -> None:
        """Write the row anew, at most five times a second."""
        now = time.perf_counter()
        if not self.is_shown or now - self._drawn < _SECONDS:
            return
        self._drawn = now
        size = os.get_terminal_size(self._stream.fileno())
        if size.lines != self._rows:  # the window has changed
            self._rows = size.lines
            self._write(f"\x1b7\x1b[1;{self._rows - 1}r\x1b8")
        self._write(
            f"\x1b7\x1b[{self._rows};1H\x1b[2K\x1b[7m{text[: size.columns - 1]}\x1b[0m\x1b8"
        )

    def close(self) -> None:
        """Give the row back."""
        if self.is_shown:
            self._write(f"\x1b7\x1b[r\x1b[{self._rows};1H\x1b[2K\x1b8")
            self.is_shown = False

    def _write(self, codes: str) -> None:
        self._stream.write(codes)
        self._stream.flush()
