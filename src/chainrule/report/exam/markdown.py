"""An exam and its key as Markdown."""

from __future__ import annotations

import re

from chainrule.report.studied_pictures import picture_file
from chainrule.study.practice.exam import Exam
from chainrule.study.practice.expected import LETTERS
from chainrule.study.practice.question import Question

Files = dict[str, bytes]


def markdown(exam: Exam, name: str) -> Files:
    """The exam and its key, with pictures beside them.

    Args:
        exam: the questions.
        name: of the file, without its ending; files are called after it.
    """
    files: Files = {}
    lines = [f"# {escaped(_title(exam))}", ""]
    for number, question in enumerate(exam.questions, 1):
        lines += [f"## {number}.", "", *asked(question)]
        if question.figure is not None:
            picture = picture_name(name, number, "svg")
            files[picture] = picture_file(question.figure, "svg")
            lines += [f"![{escaped(question.figure.words)}]({picture})", ""]
        lines += [f"Answer ({escaped(question.expected.form)}): ", ""]
    files[f"{name}.md"] = "\n".join(lines).encode()
    files[f"{name}-key.md"] = key(exam).encode()
    return files


def key(exam: Exam) -> str:
    """The key for teachers: answers, solutions, why wrong options are wrong, and proofs."""
    lines = [f"# Key: {escaped(_title(exam))}", ""]
    for number, question in enumerate(exam.questions, 1):
        lines += [f"## {number}. {question.topic} (level {question.level})", ""]
        lines += [*asked(question), f"**{escaped(question.answer_text)}**", ""]
        lines += [f"{place}. {escaped(step)}" for place, step in enumerate(question.solution, 1)]
        lines += ["", *refuted(question)]
        proof = f"{question.proof.way}: {question.proof.claim}"
        lines += [f"Proof: {escaped(proof)}.", ""]
        if question.experiment:
            lines += [f"See `chainrule study {question.experiment}`.", ""]
        lines += [f"`chainrule practice --question {question.id}`", ""]
    return "\n".join(lines)


def asked(question: Question) -> list[str]:
    """What is asked, with its options and conventions."""
    lines = [escaped(question.text), ""]
    pairs = zip(LETTERS, question.options, strict=False)
    lines += [f"- ({letter}) {escaped(option.text)}" for letter, option in pairs]
    if question.options:
        lines.append("")
    if question.conventions:
        lines += [f"*{escaped('; '.join(question.conventions))}*", ""]
    return lines


def picture_name(name: str, number: int, kind: str) -> str:
    """The file of a question's picture, in letters that need no escaping anywhere."""
    plain = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name)
    return f"{plain}-figure-{number}.{kind}"


def refuted(question: Question) -> list[str]:
    """Why each wrong option is wrong, by its letter."""
    pairs = zip(LETTERS, question.options, strict=False)
    lines = [f"- not ({letter}): {escaped(item.why)}" for letter, item in pairs if not item.right]
    return [*lines, ""] if lines else []


def _title(exam: Exam) -> str:
    return f"{exam.title}, {exam.student}" if exam.student else exam.title


def escaped(text: str) -> str:
    """Text whose signs Markdown must not read; code in backticks stays.

    Examples:
        >>> escaped("2*3 is `a*b`")
        '2\\\\*3 is `a*b`'
    """
    return "  \n".join(_line(line) for line in text.splitlines())  # two spaces break a line


def _line(text: str) -> str:
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_{}\[\]<>#|~$])", r"\\\1", piece)
        for piece in pieces
    )
