"""Forked: a fork of this process, as a child that can be waited for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable


class Forked:
    """A fork of this process, with what a ``Popen`` knows of its own."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                run()
            finally:
                os._exit(1)

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if done else None
        return self.returncode

    def wait(self) -> int:
        """The exit code, when there is one."""
        if self.returncode is None:
            with contextlib.suppress(ChildProcessError):
                _, status = os.waitpid(self.pid, 0)
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode or 0
