"""Interrupt: Ctrl-C lets the step under way finish, instead of tearing it apart."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

from chainrule.training.result import TrainingResult


class TrainingStopped(KeyboardInterrupt):
    """The user stopped the run; it is saved and can be resumed.

    Attributes:
        result: what the run had reached.
        signal_number: the signal that stopped it.
    """

    def __init__(self, result: TrainingResult, signal_number: int) -> None:
        super().__init__(f"stopped; chainrule train --resume {result.run} goes on")
        self.result, self.signal_number = result, signal_number


class Interrupt:
    """Context in which SIGINT and SIGTERM only leave a note (``signal_number``).

    A second signal acts as it always does. Outside the main thread, where Python allows no
    signal handlers, nothing is changed.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = number
        for handled, handler in self._before.items():
            signal.signal(handled, handler)
