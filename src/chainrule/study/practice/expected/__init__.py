"""Expected: the right answer of a question, able to read and grade what somebody typed.

``grade`` raises ``StudyError`` where an answer cannot be read: it says what was understood, and
costs nothing.
"""

from chainrule.study.practice.expected.answer import Expected, Grade
from chainrule.study.practice.expected.choice import LETTERS, Choice, Truth
from chainrule.study.practice.expected.formula import Formula
from chainrule.study.practice.expected.numbers import Number, Vector, Volume

__all__ = [
    "LETTERS",
    "Choice",
    "Expected",
    "Formula",
    "Grade",
    "Number",
    "Truth",
    "Vector",
    "Volume",
]
