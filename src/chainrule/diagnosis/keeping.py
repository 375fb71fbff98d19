"""Keeping: the record of a watch in the run store, and its mirror for TensorBoard."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chainrule.diagnosis.answer import Series, Watched
from chainrule.diagnosis.journal import Row
from chainrule.errors import ChainruleError, RunError
from chainrule.finding import Finding
from chainrule.record.environment import hardware, versions
from chainrule.record.run import Event
from chainrule.record.store import RunStore

_SECONDS = 2.0  # between writes
_LOG = "watch.log"


class Keeping:
    """Rows wait in memory and are written every two seconds; a failure is kept, not raised.

    Args:
        runs: folder of the store; None keeps everything in memory alone.
        tensorboard: folder for event files, None for none.

    Raises:
        RunError: the store cannot be written, or TensorBoard is not installed.
    """

    def __init__(self, runs: Path | str | None, tensorboard: Path | str | None = None) -> None:
        self.run = self.folder = self.failed = ""
        self._fresh = runs is not None and not Path(runs).exists()
        self._store = None if runs is None else RunStore(Path(runs).absolute(), create=True)
        self._writer = None if tensorboard is None else _writer(Path(tensorboard).absolute())
        self._rows: list[Row] = []
        self._events: list[Event] = []
        self._series: dict[str, list[tuple[int, float]]] = {}
        self._written = time.perf_counter()
        self._held = contextlib.ExitStack()

    def begin(self, name: str, facts: dict[str, Any]) -> None:
        """The first step has been seen: make the run."""
        if self._store is None or self.run:
            return
        try:
            self.run = self._store.create(
                name=name, versions=versions(), hardware=hardware(), **facts
            )
            self.folder = str(self._store.path(self.run))
            self._held.enter_context(self._store.hold(self.run))
        except (ChainruleError, OSError) as error:
            self._give_up(error)

    def write(self, row: Row) -> None:
        """Take in one row."""
        self._rows.append(row)
        for name, value in row.values.items():
            self._series.setdefault(name, []).append((row.step, value))
        if self._writer is not None:
            for name, value in row.values.items():
                self._writer.add_scalar(name, value, row.step)

    def note(self, step: int, finding: Finding) -> None:
        """A finding is an event of the run."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._events.append(Event(step, now, finding.code, finding.meaning, _plain(finding)))

    def flush_sometimes(self) -> None:
        """Write what waits, if the last time is long enough ago."""
        if time.perf_counter() - self._written > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._written = time.perf_counter()
        if self._store is not None and self.run and not self.failed:
            try:
                self._store.report_many(
                    self.run, [(row.step, row.values) for row in self._rows], self._events
                )
            except (ChainruleError, OSError) as error:
                self._give_up(error)
            self._events = []
        self._rows = []

    def finish(self, answer: Watched) -> None:
        """Close the run with what it ended with."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
        if self._store is None:
            return
        if not self.run:
            self._undo()
        elif not self.failed:
            try:
                self._store.finish(
                    self.run, answer.ended, answer.error, seconds=answer.seconds,
                    summary=_summary(answer),
                )  # fmt: skip
            except (ChainruleError, OSError) as error:
                self._give_up(error)
        self._held.close()

    def series(self) -> dict[str, Series]:
        """All series so far."""
        return {name: tuple(points) for name, points in self._series.items()}

    def log(self, text: str) -> str:
        """Keep a traceback of ours beside the run; gives the path."""
        if self._store is None:
            return ""
        path = Path(self.folder or self._store.folder) / _LOG
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError:
            return ""
        return str(path)

    def _undo(self) -> None:
        """Nothing was recorded: leave no empty store behind that was not there before."""
        if self._fresh and self._store is not None:
            with contextlib.suppress(OSError):
                for file in self._store.folder.glob("runs.sqlite3*"):
                    file.unlink()
                self._store.folder.rmdir()

    def _give_up(self, error: Exception) -> None:
        self.failed = str(error)


def _plain(finding: Finding) -> dict[str, Any]:
    plain: dict[str, Any] = finding.to_dict()
    return plain


def _summary(answer: Watched) -> dict[str, Any]:
    return {
        "steps": answer.steps,
        "first_loss": answer.first_loss,
        "last_loss": answer.last_loss,
        "accuracy": answer.accuracy,
        "findings": [item.code for item in answer.findings],
        "script": answer.script,
    }


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise RunError(
            "tensorboard is not installed: pip install tensorboard, or leave --tensorboard out"
        ) from None
    try:
        return SummaryWriter(str(folder))
    except OSError as error:
        raise RunError(
            f"tensorboard folder '{folder}' cannot be written: {error.strerror}; choose another"
        ) from None
