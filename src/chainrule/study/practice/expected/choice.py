"""Answers that are chosen: letters of options, true or false."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from chainrule.errors import StudyError
from chainrule.study.practice.expected.answer import Expected, Grade

LETTERS = "abcdefghijkl"
_MOST_LETTERS = 60  # of a list of letters


@dataclass(frozen=True)
class Truth(Expected):
    """True or false."""

    value: bool
    kind = "truth"

    @property
    def text(self) -> str:
        return "true" if self.value else "false"

    @property
    def form(self) -> str:
        return "true or false"

    def grade(self, given: str) -> Grade:
        word = given.strip().strip(".!").lower()
        if word in ("true", "t", "yes", "y", "right", "correct", "1", "wahr", "it holds", "holds"):
            said = True
        elif word in ("false", "f", "no", "n", "wrong", "incorrect", "0", "not true"):
            said = False
        else:
            raise StudyError(f"answer '{given.strip()}' cannot be read: wants true or false")
        return Grade(given, "true" if said else "false", said == self.value)

    def agrees(self, value: Any) -> bool:
        return bool(value) == self.value


@dataclass(frozen=True)
class Choice(Expected):
    """One or several of the options.

    Attributes:
        letters: those that are right, in order.
        options: how many there are.
        several: whether more than one may be right (all of them are wanted).
        texts: the options themselves, which may be typed instead of their letter.
        value: the right answer itself, where the options are numbers, volumes or the like.
    """

    letters: tuple[str, ...]
    options: int
    several: bool = False
    texts: tuple[str, ...] = ()
    value: Expected | None = None
    kind = "choice"

    @property
    def text(self) -> str:
        return ", ".join(self.letters) or "none"

    @property
    def form(self) -> str:
        last = LETTERS[self.options - 1]
        if self.several:
            return f"all letters that are right (a to {last}), such as a, c; or none"
        return f"a letter from a to {last}"

    def grade(self, given: str) -> Grade:
        letters = self._letters(given)
        return Grade(given, ", ".join(letters) or "none", letters == self.letters)

    def _letters(self, given: str) -> tuple[str, ...]:
        word = given.strip().lower().strip("().")
        if self.several and word in ("none", "none of them", "-", "no one"):
            return ()
        typed = self._typed(given)
        if typed is not None:
            return (LETTERS[typed],)
        found = re.findall(r"[a-z]", re.sub(r"\band\b", " ", word))
        spoken = len(word) <= _MOST_LETTERS and re.fullmatch(
            r"(\(?[a-z]\)?[\s,;.&+/]*(and)?\s*)+", word
        )
        known = LETTERS[: self.options]
        if not spoken or any(letter not in known for letter in found):
            raise StudyError(f"answer '{given.strip()}' cannot be read: wants {self.form}")
        if not self.several and len(set(found)) > 1:
            raise StudyError(f"answer '{given.strip()}' has several letters, wants one")
        return tuple(sorted(set(found)))

    def _typed(self, given: str) -> int | None:
        """The option that was typed itself, letter by letter or by its value."""
        texts = [text.strip().lower() for text in self.texts]
        word = given.strip().lower()
        if re.fullmatch(r"\W*[a-l]\W*", word):
            return None  # a letter, also where an option is called so
        if self.value is not None and word not in texts:
            try:
                word = self.value.written(given).lower()
            except StudyError:
                return None
        return texts.index(word) if texts.count(word) == 1 else None

    def agrees(self, value: Any) -> bool:
        return tuple(value) == self.letters
