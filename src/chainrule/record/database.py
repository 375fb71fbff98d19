"""Database: the SQLite file of a run store, safe against crashes and several processes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chainrule.errors import RunError
from chainrule.record.schema import migrate

_BUSY_SECONDS = 30.0


class Database:
    """Connections to one file, which is brought to the newest schema first.

    Args:
        file: the SQLite file, made when it is not there.

    Raises:
        RunError: not writable, damaged, or made by a newer chainrule.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with self.open() as connection:
            migrate(connection)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection; what SQLite complains of becomes a RunError in our words."""
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(self.file, timeout=_BUSY_SECONDS, isolation_level=None)
            _log_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection
        except sqlite3.Error as error:
            raise RunError(
                f"run store '{self.file}' cannot be used: {error}; {_mend(str(error))}"
            ) from None
        finally:
            if connection is not None:
                connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction, which is taken back when something fails."""
        with self.open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Change to write-ahead logging, for which alone SQLite does not wait while others write."""
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _mend(complaint: str) -> str:
    if "full" in complaint or "I/O" in complaint:
        return "free some space on its disk"
    if "locked" in complaint:
        return "another process has been writing for too long: wait for it"
    if "not a database" in complaint or "malformed" in complaint:
        return "move the file away to start afresh, or restore a copy"
    return "choose another folder with --runs"
