"""Scores: practice sessions, their questions and answers, kept in the run store."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chainrule.answer import Answer
from chainrule.record.store import RunStore

_RECENT = 30  # answers of a topic that its score is made of


@dataclass(frozen=True)
class TopicScore(Answer):
    """How somebody does in a topic, by the last thirty answers.

    Attributes:
        topic: its name.
        answered: questions answered.
        correct: how many of them rightly.
    """

    topic: str
    answered: int
    correct: int


@dataclass(frozen=True)
class ScoreTable(Answer):
    """Scores of all topics that have been practised.

    Attributes:
        topics: the weakest first.
        folder: of the store.
    """

    topics: tuple[TopicScore, ...]
    folder: str


@dataclass(frozen=True)
class Asked:
    """A question of a session; its answer is None while it waits for one."""

    number: int
    question: str
    topic: str
    given: str | None
    correct: bool | None


class ScoreBook:
    """Practice sessions in the store of a folder.

    Args:
        store: an open run store.

    Examples:
        >>> book = ScoreBook(RunStore(getfixture("tmp_path"), create=True))
        >>> session = book.begin({"count": 1})
        >>> number = book.ask(session, "layer-volume:1:7", "activation-volumes")
        >>> book.answer(number, "32x32x10", True)
        True
        >>> book.table().topics
        (TopicScore(topic='activation-volumes', answered=1, correct=1),)
    """

    def __init__(self, store: RunStore) -> None:
        self.store, self.database = store, store.database

    def begin(self, settings: Mapping[str, Any]) -> str:
        """A new session with these settings."""
        now = datetime.now(UTC)
        name = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with self.database.write() as connection:
            connection.execute(
                "INSERT INTO practice_sessions VALUES (?, ?, ?, 0)",
                (name, now.isoformat(timespec="microseconds"), _text(settings)),
            )
        return name

    def unfinished(self, settings: Mapping[str, Any]) -> str | None:
        """The newest session with the same settings that has not come to its end."""
        with self.database.open() as connection:
            row = connection.execute(
                "SELECT id FROM practice_sessions WHERE finished = 0 AND settings = ? "
                "ORDER BY created DESC LIMIT 1",
                (_text(settings),),
            ).fetchone()
        return None if row is None else str(row[0])

    def finish(self, session: str) -> None:
        """The session has come to its end, or is given up."""
        with self.database.write() as connection:
            connection.execute("UPDATE practice_sessions SET finished = 1 WHERE id = ?", (session,))

    def ask(self, session: str, question: str, topic: str) -> int:
        """Write down that a question is asked; gives its number."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self.database.write() as connection:
            cursor = connection.execute(
                "INSERT INTO practice_questions (session, question, topic, asked) "
                "VALUES (?, ?, ?, ?)",
                (session, question, topic, now),
            )
        return int(cursor.lastrowid or 0)

    def answer(self, number: int, given: str, correct: bool) -> bool:
        """Write down what was answered; False where it has been answered elsewhere already."""
        with self.database.write() as connection:
            cursor = connection.execute(
                "UPDATE practice_questions SET given = ?, correct = ? "
                "WHERE number = ? AND given IS NULL",
                (given, int(correct), number),
            )
        return cursor.rowcount == 1

    def questions(self, session: str) -> tuple[Asked, ...]:
        """The questions of a session, in order."""
        with self.database.open() as connection:
            rows = connection.execute(
                "SELECT number, question, topic, given, correct FROM practice_questions "
                "WHERE session = ? ORDER BY number",
                (session,),
            ).fetchall()
        return tuple(
            Asked(number, question, topic, given, None if correct is None else bool(correct))
            for number, question, topic, given, correct in rows
        )

    def table(self) -> ScoreTable:
        """The score of each topic, the weakest first."""
        with self.database.open() as connection:
            rows = connection.execute(
                "SELECT topic, correct FROM practice_questions WHERE correct IS NOT NULL "
                "ORDER BY number DESC"
            ).fetchall()
        found: dict[str, list[int]] = {}
        for topic, correct in rows:
            if len(found.setdefault(topic, [])) < _RECENT:
                found[topic].append(correct)
        scores = [TopicScore(topic, len(list_), sum(list_)) for topic, list_ in found.items()]
        scores.sort(key=lambda score: (score.correct / score.answered, score.topic))
        return ScoreTable(tuple(scores), str(self.store.folder))


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
