"""Exam: questions under a title, one variant for each student."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.answer import Answer
from chainrule.study.practice.bank import draw
from chainrule.study.practice.question import Question


@dataclass(frozen=True)
class Exam(Answer):
    """Questions to hand out.

    Attributes:
        title: above them.
        questions: in order.
        student: whom this variant is for; "" for everybody.
        seed: of the questions; None where they were named one by one.
    """

    title: str
    questions: tuple[Question, ...]
    student: str = ""
    seed: int | None = None


def exam(
    title: str,
    count: int,
    seed: int,
    topics: Sequence[str] = (),
    level: int | None = None,
    student: str = "",
) -> Exam:
    """The exam of a seed; each student's numbers differ, and come out the same again.

    Args:
        title: above the questions.
        count: how many questions.
        seed: of the exam.
        topics: topics or families; () for all.
        level: 1 to 3; None for any.
        student: any text that names a student; "" for the common variant.

    Examples:
        >>> one, other = (exam("Quiz", 1, 7, student=name) for name in ("Ada", "Zoë"))
        >>> one.seed == other.seed
        False
    """
    own = variant(seed, student)
    return Exam(title, tuple(draw(count, own, topics, level)), student, own)


def variant(seed: int, student: str) -> int:
    """The seed of a student's variant: the same on every machine.

    Examples:
        >>> variant(7, ""), variant(7, "Ada") == variant(7, " Ada ")
        (7, True)
    """
    name = " ".join(student.split())
    if not name:
        return seed
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 2**31
