"""An exam and its key as Jupyter notebooks (nbformat 4.5)."""

from __future__ import annotations

import base64
import json
from typing import Any

from chainrule.report.exam.markdown import asked, escaped, refuted
from chainrule.report.studied_pictures import picture_file
from chainrule.study.practice.exam import Exam
from chainrule.study.practice.question import Question

Files = dict[str, bytes]


def notebook(exam: Exam, name: str) -> Files:
    """A notebook to fill in, and one with the solutions.

    Args:
        exam: the questions.
        name: of the file, without its ending.
    """
    student = f"\n\n{escaped(exam.student)}" if exam.student else ""
    head = _markdown("title", f"# {escaped(exam.title)}{student}")
    cells, solved = [head], [_markdown("title", f"# Key: {escaped(exam.title)}{student}")]
    for number, question in enumerate(exam.questions, 1):
        shown = _asked(question, number)
        cells += [shown, _code(f"answer-{number}", f'answer_{number} = ""  # your answer')]
        solved += [shown, _markdown(f"solution-{number}", _solution(question))]
        solved.append(_code(f"check-{number}", _check(question)))
    return {f"{name}.ipynb": _written(cells), f"{name}-key.ipynb": _written(solved)}


def _asked(question: Question, number: int) -> dict[str, Any]:
    lines = [f"## {number}.", "", *asked(question)]
    if question.figure is not None:
        lines += [f"![{escaped(question.figure.words)}](attachment:figure.png)", ""]
    lines.append(f"Answer: {escaped(question.expected.form)}")
    cell = _markdown(f"question-{number}", "\n".join(lines))
    if question.figure is not None:
        picture = base64.b64encode(picture_file(question.figure, "png")).decode()
        cell["attachments"] = {"figure.png": {"image/png": picture}}
    return cell


def _solution(question: Question) -> str:
    steps = [f"{place}. {escaped(step)}" for place, step in enumerate(question.solution, 1)]
    wrong = refuted(question)
    proof = f"Proof: {escaped(question.proof.way)}."
    return "\n".join([f"**{escaped(question.answer_text)}**", "", *steps, "", *wrong, "", proof])


def _check(question: Question) -> str:
    """The question again from its identifier, with its proof."""
    return (
        "from chainrule.study.practice.bank import question\n\n"
        f"question({question.id!r}).expected.text"
    )


def _markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _source(text)}


def _code(name: str, text: str) -> dict[str, Any]:
    return {
        "cell_type": "code", "id": name, "metadata": {}, "source": _source(text),
        "execution_count": None, "outputs": [],
    }  # fmt: skip


def _source(text: str) -> list[str]:
    """Lines with their ends, as notebooks keep them."""
    return text.splitlines(keepends=True)


def _written(cells: list[dict[str, Any]]) -> bytes:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode()
