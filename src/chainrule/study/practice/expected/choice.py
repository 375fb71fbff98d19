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
        if word in (
            "true",
            "t",
            "yes",
            "y",
            "right",
            "correct",
            "1",
            "wahr",
            "it holds",
            "holds",
            "ja",
        ):
            said = True
        elif word in (
            "false",
            "f",
            "no",
            "n",
            "wrong",
            "incorrect",
            "0",
            "not true",
            "falsch",
            "does not hold",
            "it does not hold",
            "nein",
        ):
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
        word = " ".join(given.lower().split()).strip("!. ")
        if self.several and word in ("none", "none of them", "none of these", "-", "no one"):
            return ()
        if self.several and word in ("all", "all of them", "all of these"):
            return tuple(LETTERS[: self.options])
        typed = self._typed(given)
        if typed is not None:
            return (LETTERS[typed],)
        found = self._listed(word)
        if found is None:
            raise StudyError(f"answer '{given.strip()[:60]}' cannot be read: wants {self.form}")
        if not self.several and len(found) > 1:
            raise StudyError(f"answer '{given.strip()[:60]}' has several letters, wants one")
        return tuple(sorted(found))

    def _listed(self, word: str) -> set[str] | None:
        """The letters of a list such as "a, c", "(a) and (c)" or "ac"; None where it is none."""
        if len(word) > _MOST_LETTERS:
            return None
        parts = re.split(r"[\s,;.&+/()\[\]!]+", word)
        parts = [part for part in parts if part not in ("", "and", "or", "answer", "option")]
        found = [letter for part in parts for letter in part]
        known = LETTERS[: self.options]
        if not found or any(letter not in known for letter in found):
            return None
        twice = any(len(set(part)) < len(part) for part in parts)  # "add" is a word
        return None if twice else set(found)

    def _typed(self, given: str) -> int | None:
        """The option that was typed itself, letter by letter or by its value."""
        texts = [" ".join(text.lower().split()).replace("`", "") for text in self.texts]
        word = " ".join(given.lower().split()).replace("`", "")
        both = re.match(r"\(([a-l])\) +(.+)$", word)  # as the answer is shown: "(b) 260"
        if both and both[1] in LETTERS[: self.options] and both[2] == texts[ord(both[1]) - 97]:
            return ord(both[1]) - 97
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
