"""Schema: the store's tables, as a list of steps that brings any older store up to date."""

from __future__ import annotations

import sqlite3

from chainrule.errors import RunError

# Each entry leads from the version before it to its own (1, 2, ...); entries are never edited.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, created TEXT NOT NULL,
            ended TEXT NOT NULL, reason TEXT NOT NULL, recipe TEXT NOT NULL,
            network TEXT NOT NULL, data TEXT NOT NULL, parameters INTEGER NOT NULL,
            versions TEXT NOT NULL, hardware TEXT NOT NULL, seconds REAL NOT NULL,
            summary TEXT NOT NULL) STRICT""",
        # SQLite keeps no NaN: a value of NULL stands for it
        """CREATE TABLE metrics (
            run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            name TEXT NOT NULL, step INTEGER NOT NULL, value REAL,
            PRIMARY KEY (run, name, step)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE events (
            number INTEGER PRIMARY KEY,
            run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            step INTEGER NOT NULL, time TEXT NOT NULL, kind TEXT NOT NULL,
            message TEXT NOT NULL, details TEXT NOT NULL) STRICT""",
        "CREATE INDEX events_of_run ON events (run, step)",
    ),
    (
        """CREATE TABLE practice_sessions (
            id TEXT PRIMARY KEY, created TEXT NOT NULL, settings TEXT NOT NULL,
            finished INTEGER NOT NULL) STRICT""",
        # an answer of NULL belongs to a question that waits for one
        """CREATE TABLE practice_questions (
            number INTEGER PRIMARY KEY,
            session TEXT NOT NULL REFERENCES practice_sessions(id) ON DELETE CASCADE,
            question TEXT NOT NULL, topic TEXT NOT NULL, asked TEXT NOT NULL,
            given TEXT, correct INTEGER) STRICT""",
        "CREATE INDEX questions_of_session ON practice_questions (session, number)",
    ),
)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the open store to the newest schema, each version in one transaction.

    Raises:
        RunError: a newer chainrule made the store.
    """
    if _version(connection) > VERSION:
        raise RunError(
            f"run store has schema {_version(connection)}, this chainrule knows {VERSION}: "
            "upgrade chainrule, or choose another --runs folder"
        )
    while _version(connection) < VERSION:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            version = _version(connection)  # another process may have been quicker
            if version < VERSION:
                for statement in MIGRATIONS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
