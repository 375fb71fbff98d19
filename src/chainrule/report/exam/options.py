"""Options for systems that cannot grade a formula, or cannot take "none" for an answer."""

from __future__ import annotations

import random

from chainrule.study.practice.expected import Choice
from chainrule.study.practice.question import Option, Question

FEWEST = 2  # wrong options that make a choice worth asking


def options_of(question: Question) -> tuple[Option, ...]:
    """The options to hand out; () where there are none and too few mistakes are known.

    Where several may be right, "none of these" is one of them: neither Moodle nor PrairieLearn
    takes an empty answer for right.

    Args:
        question: with options, or one whose answer has to be chosen instead of typed.
    """
    if not question.options:
        return _of_mistakes(question) if len(question.mistakes) >= FEWEST else ()
    if isinstance(question.expected, Choice) and question.expected.several:
        none = not question.expected.letters
        why = "All others are wrong." if none else "At least one of the others is right."
        return (*question.options, Option("none of these", none, why))
    return question.options


def _of_mistakes(question: Question) -> tuple[Option, ...]:
    """The answer among known mistakes, in an order of its own."""
    wrong = [Option(f"`{item.answer}`", False, f"It {item.why}.") for item in question.mistakes[:4]]
    options = [Option(f"`{question.expected.text}`", True, "Right."), *wrong]
    random.Random(question.id).shuffle(options)
    return tuple(options)
