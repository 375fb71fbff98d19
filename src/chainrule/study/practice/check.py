"""Check: proves the whole bank, thousands of questions, and reads every one as a grader would."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from chainrule.answer import Answer
from chainrule.errors import ChainruleError
from chainrule.study.practice.bank import families
from chainrule.study.practice.expected import Choice
from chainrule.study.practice.making import make
from chainrule.study.practice.question import Family, Question

_LONGEST_TEXT, _LONGEST_STEP = 900, 400


@dataclass(frozen=True)
class BankRow(Answer):
    """A family at a level.

    Attributes:
        family: its name.
        topic: what it belongs to.
        level: 1 to 3.
        questions: how many were made.
        different: how many of them differ in their text or options.
        proved: how many were computed two ways that agree.
        problems: what is wrong, with the question's identifier.
    """

    family: str
    topic: str
    level: int
    questions: int
    different: int
    proved: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class BankCheck(Answer):
    """What a check of the bank found.

    Attributes:
        rows: one per family and level.
        seed: of the questions.
    """

    rows: tuple[BankRow, ...]
    seed: int

    @property
    def questions(self) -> int:
        """Questions that were made."""
        return sum(row.questions for row in self.rows)

    @property
    def proved(self) -> int:
        """Questions whose two computations agree."""
        return sum(row.proved for row in self.rows)

    @property
    def problems(self) -> int:
        """How many problems there are in all."""
        return sum(len(row.problems) for row in self.rows)


def check_bank(
    count: int = 20,
    seed: int = 0,
    wanted: Sequence[str] = (),
    told: Callable[[int, int], object] = lambda done, all_: None,
) -> BankCheck:
    """Make questions of every family and level, and look for anything that must not be.

    Args:
        count: questions of each family and level.
        seed: of the questions.
        wanted: topics or families; () for all.
        told: how many families and levels are done, and of how many.
    """
    pairs = [(item, level) for item in families(wanted) for level in item.levels]
    rows = []
    for done, (item, level) in enumerate(pairs):
        told(done, len(pairs))
        rows.append(_row(item, level, count, seed))
    return BankCheck(tuple(rows), seed)


def _row(family: Family, level: int, count: int, seed: int) -> BankRow:
    drawn = Random(f"check:{seed}:{family.name}:{level}")
    texts: set[str] = set()
    problems: list[str] = []
    proved = 0
    for number in drawn.sample(range(10**6), count):
        name = f"{family.name}:{level}:{number}"
        try:
            made = make(family, level, number)
            problems += [f"{name}: {words}" for words in faults(made)]
        except ChainruleError as error:
            problems.append(f"{name}: {error}")
            continue
        proved += made.proof.holds
        texts.add(made.text + "".join(option.text for option in made.options))
    return BankRow(family.name, family.topic, level, count, len(texts), proved, tuple(problems))


def faults(question: Question) -> Iterator[str]:
    """What is wrong with a question: how it reads, its options, its grading."""
    yield from _unreadable(question)
    yield from _wrong_options(question)
    expected = question.expected
    own = expected.value if isinstance(expected, Choice) and expected.value else expected
    if not own.grade(own.text).right:
        yield f"its own answer '{own.text}' is graded as wrong"
    if not question.grade(expected.text).right:
        yield f"its own answer '{expected.text}' is graded as wrong"
    for mistake in question.mistakes:
        if own.grade(mistake.answer).right:
            yield f"the mistake '{mistake.answer}' is accidentally right"


def _unreadable(question: Question) -> Iterator[str]:
    texts = [question.text, *question.solution, *(option.text for option in question.options)]
    texts += [option.why for option in question.options]
    if not 20 <= len(question.text) <= _LONGEST_TEXT:
        yield f"its text has {len(question.text)} characters"
    if not question.solution or any(len(step) > _LONGEST_STEP for step in question.solution):
        yield "its solution is missing or has a step that is too long"
    for text in texts:
        if not text.strip():
            yield "a text is empty"
        if re.search(r"\bnan\b|\binf\b|None|\{\w+\}|tensor\(|\.0*[1-9]\d{9,}", text):
            yield f"a text is not meant for people: '{text}'"
        if text.count("`") % 2:
            yield f"a text has an odd number of backticks: '{text}'"


def _wrong_options(question: Question) -> Iterator[str]:
    options = question.options
    if not options:
        return
    texts = [option.text.strip().lower() for option in options]
    if len(set(texts)) < len(texts):
        yield "two options say the same"
    if len(options) < 3:
        yield f"it has {len(options)} options"
    if any(not option.why for option in options if not option.right):
        yield "a wrong option is not refuted"
