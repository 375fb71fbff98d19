"""Session: questions one after the other, kept in the store, able to go on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import SystemRandom

from chainrule.answer import Answer
from chainrule.errors import StudyError
from chainrule.record.scores import Asked, ScoreBook, TopicScore
from chainrule.study.practice.bank import draw, draw_one, draw_weighted, families, question
from chainrule.study.practice.expected import Grade
from chainrule.study.practice.question import Question

SKIPPED = "(skipped)"
MOST_QUESTIONS = 1000


@dataclass(frozen=True)
class Settings(Answer):
    """What is practised.

    Attributes:
        topics: names of topics or families; () for all.
        level: 1 to 3; None for any.
        count: questions in the session.
        seed: the same questions for the same seed; None: fresh ones, more of weak topics.
        exam: grades are told at the end.
    """

    topics: tuple[str, ...] = ()
    level: int | None = None
    count: int = 10
    seed: int | None = None
    exam: bool = False


@dataclass(frozen=True)
class Answered(Answer):
    """A question of a session with what was answered.

    Attributes:
        question: what was asked.
        given: what was typed, "(skipped)" for nothing.
        correct: whether it was right.
    """

    question: Question
    given: str
    correct: bool


@dataclass(frozen=True)
class SessionResult(Answer):
    """How a session went.

    Attributes:
        answered: its questions, in order.
        count: how many it was to have.
        topics: scores in this session, in the order of the course.
        exam: whether it was an exam.
    """

    answered: tuple[Answered, ...]
    count: int
    topics: tuple[TopicScore, ...]
    exam: bool

    @property
    def correct(self) -> int:
        """Right answers."""
        return sum(item.correct for item in self.answered)


class Session:
    """Asks, grades and keeps. Every answer is in the store before the next question.

    Args:
        book: where it is kept.
        settings: what is practised.
        afresh: give up an unfinished session with the same settings instead of going on with it.

    Raises:
        StudyError: an unknown topic or level, or a count that is none.
    """

    def __init__(self, book: ScoreBook, settings: Settings, *, afresh: bool = False) -> None:
        _check(settings)
        self.book, self.settings = book, settings
        plain = settings.to_dict()
        found = book.unfinished(plain)
        if found is not None and (afresh or not self._can_go_on(found)):
            book.finish(found)
            found = None
        self.resumed = found is not None
        self.name = found or book.begin(plain)
        self._asked: list[Asked] = list(book.questions(self.name))
        self._waiting: Question | None = None

    def _can_go_on(self, name: str) -> bool:
        """Whether its questions still exist: it may be of another version."""
        try:
            for item in self.book.questions(name):
                question(item.question)
        except StudyError:
            return False
        return True

    @property
    def done(self) -> int:
        """Questions that have been answered."""
        return sum(item.given is not None for item in self._asked)

    def next(self) -> Question | None:
        """The question that waits for an answer, else a new one; None at the end."""
        if self._waiting is None:
            self._asked = list(self.book.questions(self.name))  # another window may have answered
            if self._asked and self._asked[-1].given is None:
                self._waiting = question(self._asked[-1].question)
            elif self.done < self.settings.count:
                self._waiting = self._draw()
                number = self.book.ask(self.name, self._waiting.id, self._waiting.topic)
                self._asked.append(Asked(number, self._waiting.id, self._waiting.topic, None, None))
            else:
                self.book.finish(self.name)
        return self._waiting

    def _draw(self) -> Question:
        told = self.settings
        if told.seed is not None:
            return draw_one(self.done, told.seed, told.topics, told.level)
        known = {item.question for item in self._asked}
        drawn = SystemRandom()
        for _ in range(20):  # the same question twice in a session bores
            found = draw_weighted(self._weights(), drawn, told.topics, told.level)
            if found.id not in known:
                break
        return found

    def _weights(self) -> dict[str, float]:
        """Topics by their share of wrong answers, with one right and one wrong answer to begin."""
        scores = {score.topic: score for score in self.book.table().topics}
        names = dict.fromkeys(
            item.topic for item in families(self.settings.topics, self.settings.level)
        )
        return {name: weakness(scores.get(name)) for name in names}

    def answer(self, given: str) -> Grade:
        """Grade and keep the answer to the question that waits.

        Raises:
            StudyError: it cannot be read: it costs nothing, the question still waits.
        """
        assert self._waiting is not None, "no question waits"
        grade = self._waiting.grade(given)
        self._keep(given.strip(), grade.right)
        return grade

    def skip(self) -> None:
        """Leave the question that waits; it counts as not known."""
        self._keep(SKIPPED, False)

    def _keep(self, given: str, correct: bool) -> None:
        self.book.answer(self._asked[-1].number, given, correct)
        self._asked = list(self.book.questions(self.name))
        self._waiting = None

    def result(self) -> SessionResult:
        """How it has gone so far."""
        answered = tuple(
            Answered(question(item.question), item.given, bool(item.correct))
            for item in self._asked
            if item.given is not None
        )
        return SessionResult(answered, self.settings.count, _by_topic(answered), self.settings.exam)


def weakness(score: TopicScore | None) -> float:
    """Share of wrong answers, counting one right and one wrong answer beforehand.

    Examples:
        >>> weakness(None), weakness(TopicScore("losses", 8, 8))
        (0.5, 0.1)
    """
    if score is None:
        return 0.5
    return (score.answered - score.correct + 1) / (score.answered + 2)


def _by_topic(answered: Sequence[Answered]) -> tuple[TopicScore, ...]:
    found: dict[str, list[bool]] = {}
    for item in answered:
        found.setdefault(item.question.topic, []).append(item.correct)
    return tuple(TopicScore(topic, len(list_), sum(list_)) for topic, list_ in found.items())


def _check(settings: Settings) -> None:
    families(settings.topics, settings.level)
    if not 1 <= settings.count <= MOST_QUESTIONS:
        raise StudyError(
            f"count got {settings.count}, wants a whole number from 1 to {MOST_QUESTIONS}"
        )
    if settings.seed is not None:
        draw(1, settings.seed, settings.topics, settings.level)
