"""What every kind of right answer can do, and the grade of an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from chainrule.answer import Answer


@dataclass(frozen=True)
class Grade(Answer):
    """What became of an answer.

    Attributes:
        given: what was typed.
        understood: how it was read.
        right: whether it is the answer.
        remark: which known mistake it is, or what to mind; "" for nothing.
    """

    given: str
    understood: str
    right: bool
    remark: str = ""


class Expected(Answer, ABC):
    """A right answer of some kind."""

    kind: str = ""

    @property
    @abstractmethod
    def text(self) -> str:
        """The answer as one would write it."""

    @property
    @abstractmethod
    def form(self) -> str:
        """What is to be typed, in a few words."""

    @abstractmethod
    def grade(self, given: str) -> Grade:
        """Read and grade what was typed.

        Raises:
            StudyError: it cannot be read.
        """

    @abstractmethod
    def agrees(self, value: Any) -> bool:
        """Whether a second computation gives the same, to its precision."""

    def written(self, given: str) -> str:
        """Another answer, written as the right one is: options must not tell by their looks."""
        return given.strip()

    def to_dict(self) -> dict[str, Any]:
        """With the kind and the answer as text."""
        return {"kind": self.kind, "text": self.text, **super().to_dict()}
