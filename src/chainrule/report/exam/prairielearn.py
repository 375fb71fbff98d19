"""An exam as PrairieLearn questions: a folder for each, an assessment, and the key as Markdown.

Source: PrairieLearn documentation, question and element reference. Formulas are asked with
options made of the known mistakes, since PrairieLearn's symbolic input has no indicators.
"""

from __future__ import annotations

import json
import uuid

from markupsafe import Markup

from chainrule.report.exam.markdown import key
from chainrule.report.exam.options import options_of
from chainrule.report.practised import code_html
from chainrule.report.studied_pictures import picture_file
from chainrule.study.practice.exam import Exam
from chainrule.study.practice.expected import Choice, Formula, Number, Truth, Vector, Volume
from chainrule.study.practice.question import Option, Question

Files = dict[str, bytes]
_NAMES = uuid.UUID("6f1c2a0e-5c39-4a57-9a0b-0b7f3d8e2c11")  # of our own, so that ids are stable


def prairielearn(exam: Exam, name: str) -> Files:
    """Files of a course folder: ``questions/``, an assessment and the key.

    Args:
        exam: the questions.
        name: the folder's name, under which the questions stand.
    """
    files: Files = {f"{name}-key.md": key(exam).encode()}
    listed = []
    for number, question in enumerate(exam.questions, 1):
        identifier = f"{name}/{number:02d}-{question.family}-{question.level}-{question.seed}"
        listed.append({"id": identifier, "points": 1})
        folder = f"questions/{identifier}"
        files[f"{folder}/info.json"] = _json(_info(question, exam, number))
        files[f"{folder}/question.html"] = _html(question).encode()
        if question.figure is not None:
            files[f"{folder}/clientFilesQuestion/figure.png"] = picture_file(question.figure, "png")
    files[f"assessments/{name}/infoAssessment.json"] = _json(_assessment(exam, name, listed))
    return files


def _info(question: Question, exam: Exam, number: int) -> dict[str, object]:
    told = f"{exam.title}:{exam.student}:{number}:{question.id}"
    return {
        "uuid": str(uuid.uuid5(_NAMES, told)),
        "title": f"{number}. {question.topic}",
        "topic": question.topic,
        "tags": [question.family, f"level-{question.level}"],
        "type": "v3",
        "singleVariant": True,
        "gradingMethod": "Internal" if _graded(question) else "Manual",
    }


def _graded(question: Question) -> bool:
    return not isinstance(question.expected, Formula) or bool(options_of(question))


def _assessment(exam: Exam, name: str, listed: list[dict[str, object]]) -> dict[str, object]:
    return {
        "uuid": str(uuid.uuid5(_NAMES, f"{exam.title}:{exam.student}:{exam.seed}")),
        "type": "Exam",
        "title": f"{exam.title}, {exam.student}" if exam.student else exam.title,
        "set": "Exam",
        "number": name,
        "zones": [{"questions": listed}],
    }


def _html(question: Question) -> str:
    steps = Markup("").join(Markup("<li>{}</li>").format(code_html(s)) for s in question.solution)
    figure = '<pl-figure file-name="figure.png"></pl-figure>\n' if question.figure else ""
    conventions = code_html("; ".join(question.conventions))
    return (
        f"<pl-question-panel>\n<p>{_safe(code_html(question.text))}</p>\n{figure}"
        f"<p><em>{_safe(conventions)}</em></p>\n</pl-question-panel>\n"
        f"{_input(question)}\n"
        f"<pl-answer-panel>\n<p>{_safe(code_html(question.answer_text))}</p>\n"
        f"<ol>{_safe(steps)}</ol>\n</pl-answer-panel>\n"
    )


def _safe(text: str) -> str:
    """Text that Mustache, which PrairieLearn runs first, leaves alone."""
    return text.replace("{{", "{&#8203;{").replace("}}", "}&#8203;}")


def _input(question: Question) -> str:
    expected = question.expected
    if isinstance(expected, Number):
        return _number("answer", expected.value, expected.close)
    if isinstance(expected, Vector):
        each = [
            _number(f"answer{place}", value, expected.close, f"number {place}")
            for place, value in enumerate(expected.values, 1)
        ]
        return "\n".join(each)
    if isinstance(expected, Volume):
        pairs = zip(expected.axes, expected.sizes, strict=True)
        return "\n".join(
            f'<pl-integer-input answers-name="{axis}" label="{axis}" correct-answer="{size}">'
            "</pl-integer-input>"
            for axis, size in pairs
        )
    if isinstance(expected, Truth):
        both = (Option("true", expected.value, ""), Option("false", not expected.value, ""))
        return _choices(both, "pl-multiple-choice", 'order="fixed"')
    if isinstance(expected, Choice) and expected.several:
        return _choices(
            options_of(question), "pl-checkbox", 'order="fixed" partial-credit="net-correct"'
        )
    options = options_of(question)
    if not options:  # a person grades it
        return '<pl-rich-text-editor file-name="answer.html"></pl-rich-text-editor>'
    return _choices(options, "pl-multiple-choice", 'order="fixed"')


def _number(name: str, value: float, close: float | None, label: str = "") -> str:
    named = f' label="{label}"' if label else ""
    if isinstance(value, int) and close is None:
        return (
            f'<pl-integer-input answers-name="{name}"{named} correct-answer="{value}">'
            "</pl-integer-input>"
        )
    share = 5e-3 if close is None else close
    floor = 1e-12 if value else share / 10
    return (
        f'<pl-number-input answers-name="{name}"{named} correct-answer="{value:.10g}" '
        f'comparison="relabs" rtol="{share:g}" atol="{floor:g}"></pl-number-input>'
    )


def _choices(options: tuple[Option, ...], element: str, more: str) -> str:
    each = "\n".join(
        f'  <pl-answer correct="{str(option.right).lower()}">'
        f"{_safe(code_html(option.text))}</pl-answer>"
        for option in options
    )
    return f'<{element} answers-name="answer" {more}>\n{each}\n</{element}>'.replace(" >", ">")


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
