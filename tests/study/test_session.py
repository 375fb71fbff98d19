"""Sessions: kept answer by answer, resumed, weak topics again, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from chainrule.errors import StudyError
from chainrule.record.scores import ScoreBook, TopicScore
from chainrule.record.store import RunStore
from chainrule.study.practice.session import Session, Settings, weakness

TWO = Settings(topics=("layer-volume", "layer-parameters"), count=3, seed=5)


@pytest.fixture
def book(tmp_path: Path) -> ScoreBook:
    return ScoreBook(RunStore(tmp_path, create=True))


def _answer(session: Session, rightly: bool = True) -> str:
    question = session.next()
    assert question is not None
    session.answer(question.expected.text) if rightly else session.skip()
    return question.id


def test_asks_grades_and_ends(book: ScoreBook) -> None:
    session = Session(book, TWO)
    for _ in range(3):
        _answer(session)
    assert session.next() is None
    result = session.result()
    assert (result.correct, len(result.answered)) == (3, 3)
    assert sum(score.answered for score in result.topics) == 3


def test_goes_on_where_it_stopped(book: ScoreBook) -> None:
    whole = Session(book, TWO)
    wanted = [_answer(whole) for _ in range(3)]
    whole.next()
    first = Session(book, TWO, afresh=True)
    asked = [_answer(first)]
    waiting = first.next()
    assert waiting is not None
    again = Session(book, TWO)  # another process, after a stop in the middle of a question
    assert again.resumed
    assert again.done == 1
    found = again.next()
    assert found is not None
    assert found.id == waiting.id
    asked += [_answer(again), _answer(again)]
    assert again.next() is None
    assert asked == wanted
    assert not Session(book, TWO).resumed  # that one came to its end


def test_what_is_skipped_is_not_known(book: ScoreBook) -> None:
    session = Session(book, TWO)
    _answer(session, rightly=False)
    assert session.result().correct == 0
    assert book.table().topics[0].correct == 0


def test_other_settings_are_another_session(book: ScoreBook) -> None:
    _answer(Session(book, TWO))
    assert not Session(book, Settings(topics=TWO.topics, count=4, seed=5)).resumed


def test_afresh_gives_up_the_old_one(book: ScoreBook) -> None:
    _answer(Session(book, TWO))
    assert not Session(book, TWO, afresh=True).resumed


def test_unreadable_costs_nothing(book: ScoreBook) -> None:
    session = Session(book, TWO)
    question = session.next()
    assert question is not None
    with pytest.raises(StudyError):
        session.answer("???")
    assert session.next() is question
    assert session.done == 0
    assert book.table().topics == ()


def test_scores_are_the_last_thirty(book: ScoreBook) -> None:
    name = book.begin({})
    for place in range(40):
        book.answer(book.ask(name, "x:1:1", "losses"), "1", correct=place >= 20)
    assert book.table().topics == (TopicScore("losses", 30, 20),)


def test_weakest_topic_stands_first(book: ScoreBook) -> None:
    name = book.begin({})
    for topic, correct in (("losses", True), ("clipping", False), ("units", True)):
        book.answer(book.ask(name, "x:1:1", topic), "1", correct=correct)
    assert [score.topic for score in book.table().topics] == ["clipping", "losses", "units"]


def test_weak_topics_are_asked_more_often(book: ScoreBook) -> None:
    name = book.begin({})
    for _ in range(20):
        book.answer(book.ask(name, "x:1:1", "activation-volumes"), "1", correct=False)
        book.answer(book.ask(name, "x:1:1", "parameters"), "1", correct=True)
    session = Session(book, Settings(topics=("activation-volumes", "layer-parameters"), count=40))
    topics = Counter()
    for _ in range(40):
        question = session.next()
        assert question is not None
        topics[question.topic] += 1
        session.answer(question.expected.text) if question.topic == "parameters" else session.skip()
    assert topics["activation-volumes"] > 30  # 21/22 to 1/22 by weight


def test_a_family_that_was_asked_for_is_kept_to(book: ScoreBook) -> None:
    session = Session(book, Settings(topics=("svm-loss", "parameters"), count=12))
    families = set()
    for _ in range(12):
        question = session.next()
        assert question is not None
        families.add(question.family)
        session.skip()
    assert families <= {"svm-loss", "layer-parameters", "network-parameters"}


def test_an_answer_is_not_written_over_from_another_window(book: ScoreBook) -> None:
    first, second = Session(book, TWO), Session(book, TWO)
    question = first.next()
    same = second.next()
    assert question is not None
    assert same is not None
    assert same.id == question.id
    first.answer(question.expected.text)
    second.skip()
    assert second.done == 1
    assert book.questions(first.name)[0].correct
    while first.next() is not None:
        first.skip()
    assert second.next() is None
    assert len(book.questions(first.name)) == TWO.count


def test_a_session_of_another_version_is_given_up(book: ScoreBook) -> None:
    old = book.begin(TWO.to_dict())
    book.ask(old, "gone-family:1:2", "gone")
    session = Session(book, TWO)
    assert not session.resumed
    assert session.next() is not None


def test_weakness() -> None:
    assert weakness(TopicScore("x", 2, 0)) > weakness(None) > weakness(TopicScore("x", 2, 2))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(topics=("activation-volums",)), r"did you mean 'activation-volumes'\? \("),
        (Settings(count=0), "count got 0, wants a whole number from 1"),
        (Settings(count=10**6), "count got 1000000"),
        (Settings(level=4), "level got 4, wants 1"),
        (Settings(seed=-1), "seed got -1"),
    ],
)
def test_bad_settings(book: ScoreBook, settings: Settings, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        Session(book, settings)
