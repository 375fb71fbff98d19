"""Question: what is asked, its answer, how wrong answers come about, and the proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chainrule.answer import Answer
from chainrule.errors import StudyError
from chainrule.finding import Proof
from chainrule.study.picture import Picture
from chainrule.study.practice.expected import LETTERS, Choice, Expected, Grade

LEVELS = (1, 2, 3)


@dataclass(frozen=True)
class Mistake(Answer):
    """A wrong answer that people give.

    Attributes:
        answer: as it would be typed; must be readable as an answer to its question.
        why: the mistake behind it ("forgets the biases").
    """

    answer: str
    why: str


@dataclass(frozen=True)
class Option(Answer):
    """One of several answers to choose from.

    Attributes:
        text: the answer.
        right: whether it is right.
        why: why it is right, or the mistake with its refutation.
    """

    text: str
    right: bool
    why: str


@dataclass(frozen=True)
class Draft:
    """What a family makes; the bank turns it into a question.

    Either ``expected``, with the mistakes that people make, or ``options``.

    Attributes:
        text: the question, plain text with `code` in backticks; ends in what is wanted.
        way: the second computation in a few words ("a forward pass of the built network").
        proved: what the second computation gives: a value for ``expected.agrees``; for options
            a tuple of truths, one for each option in order.
        solution: the steps to the answer.
        conventions: what a number counts ("padding is the total of both sides").
        expected: the right answer, for questions without options of their own.
        mistakes: wrong answers with their reasons.
        options: answers to choose from, not yet shuffled.
        several: whether all right options are wanted; else exactly one is right.
        experiment: of ``chainrule study`` that shows it; "" for none.
        figure: what there is to see.
    """

    text: str
    way: str
    proved: Any
    solution: tuple[str, ...]
    conventions: tuple[str, ...] = ()
    expected: Expected | None = None
    mistakes: tuple[Mistake, ...] = ()
    options: tuple[Option, ...] = ()
    several: bool = False
    experiment: str = ""
    figure: Picture | None = None


@dataclass(frozen=True)
class Family:
    """A kind of question with numbers drawn afresh each time.

    Attributes:
        name: kebab-case.
        topic: what it belongs to.
        title: what it asks for.
        levels: the levels it has.
        draw: random numbers and a level to a draft.
    """

    name: str
    topic: str
    title: str
    levels: tuple[int, ...]
    draw: Callable[[Random, int], Draft]


@dataclass(frozen=True)
class Question(Answer):
    """A question with its answer and proof.

    Attributes:
        id: family:level:seed, by which it can be asked again.
        topic: what it belongs to.
        family: its kind.
        level: 1 to 3.
        seed: of its numbers.
        text: what is asked; `code` stands in backticks.
        conventions: what the numbers count.
        options: answers to choose from, () where the answer is typed.
        expected: the right answer.
        mistakes: wrong answers with the mistake behind each.
        solution: the steps to the answer.
        proof: the second computation, which agrees.
        experiment: of ``chainrule study`` that shows it.
        figure: what there is to see.

    Examples:
        >>> import chainrule
        >>> (question,) = chainrule.practice("activation-volumes", seed=1)
        >>> question.proof.holds
        True
        >>> question.grade(question.expected.text).right
        True
    """

    id: str
    topic: str
    family: str
    level: int
    seed: int
    text: str
    conventions: tuple[str, ...]
    options: tuple[Option, ...]
    expected: Expected
    mistakes: tuple[Mistake, ...]
    solution: tuple[str, ...]
    proof: Proof
    experiment: str = ""
    figure: Picture | None = field(default=None)

    def grade(self, given: str) -> Grade:
        """Read and grade an answer; a known mistake is called by its name.

        Args:
            given: in any reasonable form.

        Raises:
            StudyError: it cannot be read; that costs nothing.
        """
        if not given.strip():
            raise StudyError(f"answer is empty, wants {self.expected.form}")
        found = self.expected.grade(given)
        if found.right:
            return found
        return Grade(found.given, found.understood, False, self._mistake(found))

    def _mistake(self, found: Grade) -> str:
        """The reason of a wrong answer that is known."""
        if self.options:
            chosen = {letter: self.options[LETTERS.index(letter)] for letter in _letters(found)}
            wrong = [f"({letter}) {one.why}" for letter, one in chosen.items() if not one.right]
            return f"wrong is {' '.join(wrong)}" if wrong else "not all that are right"
        for mistake in self.mistakes:
            if self.expected.grade(mistake.answer).understood == found.understood:
                return mistake.why
        return ""

    @property
    def answer_text(self) -> str:
        """The right answer in words: with options the letters and what they say."""
        if not isinstance(self.expected, Choice):
            return self.expected.text
        chosen = [
            f"({letter}) {self.options[LETTERS.index(letter)].text}"
            for letter in self.expected.letters
        ]
        return "; ".join(chosen) or "none of them"


def _letters(found: Grade) -> list[str]:
    return [] if found.understood == "none" else found.understood.split(", ")
