"""Scores in the store: older stores get their tables, sessions survive the process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from chainrule.record.schema import MIGRATIONS, VERSION
from chainrule.record.scores import Asked, ScoreBook
from chainrule.record.store import FILE, RunStore


def test_a_store_of_the_first_version_gets_the_tables(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    book = ScoreBook(RunStore(tmp_path))
    assert book.table().topics == ()
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()


def test_sessions_are_found_by_their_settings(tmp_path: Path) -> None:
    book = ScoreBook(RunStore(tmp_path, create=True))
    first = book.begin({"count": 3, "seed": 1})
    second = book.begin({"seed": 1, "count": 3})
    assert book.unfinished({"seed": 1, "count": 3}) == second
    book.finish(second)
    assert book.unfinished({"count": 3, "seed": 1}) == first
    assert book.unfinished({"count": 4, "seed": 1}) is None


def test_questions_wait_until_they_are_answered(tmp_path: Path) -> None:
    name = ScoreBook(RunStore(tmp_path, create=True)).begin({})
    number = ScoreBook(RunStore(tmp_path)).ask(name, "x:1:2", "losses")
    book = ScoreBook(RunStore(tmp_path))
    assert book.questions(name) == (Asked(number, "x:1:2", "losses", None, None),)
    book.answer(number, "π = 3", False)
    assert book.questions(name) == (Asked(number, "x:1:2", "losses", "π = 3", False),)
