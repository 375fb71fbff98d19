"""Forked: forks of this process with its random state, and one that can be waited for."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable

import numpy as np


def fork() -> int:
    """``os.fork`` without new seeds: Python's ``random`` draws one in every child.

    What else of Python's and NumPy's is drawn anew on a fork, by whatever package, is put back,
    too; PyTorch goes on in a child as it would have in the parent.
    """
    state, numbers = random.getstate(), np.random.get_state()
    pid = os.fork()
    if pid == 0:
        random.setstate(state)
        np.random.set_state(numbers)
    return pid


class Forked:
    """A fork of this process, with what a ``Popen`` knows of its own."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.pid = fork()
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
