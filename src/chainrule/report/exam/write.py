"""Write: exams into files, whole, and never over what is there unless that is wanted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from chainrule.errors import StudyError, suggestion
from chainrule.record.atomic import write_atomically
from chainrule.report.exam.latex import latex
from chainrule.report.exam.markdown import markdown
from chainrule.report.exam.moodle import moodle
from chainrule.report.exam.notebook import notebook
from chainrule.report.exam.prairielearn import prairielearn
from chainrule.study.practice.exam import Exam

FORMATS: dict[str, Callable[[Exam, str], dict[str, bytes]]] = {
    "markdown": markdown,
    "latex": latex,
    "moodle-xml": moodle,
    "prairielearn": prairielearn,
    "ipynb": notebook,
}
_ENDINGS = {".md": "markdown", ".tex": "latex", ".xml": "moodle-xml", ".ipynb": "ipynb"}


def format_of(path: Path, named: str | None) -> str:
    """The format by its name, else by the file's ending; a folder is for PrairieLearn.

    Raises:
        StudyError: an unknown format, or none that can be told.

    Examples:
        >>> format_of(Path("quiz.tex"), None)
        'latex'
    """
    if named is not None:
        if named not in FORMATS:
            known = ", ".join(FORMATS)
            raise StudyError(
                f"format got '{named}'{suggestion(named, FORMATS)}; wants one of {known}"
            )
        return named
    found = _ENDINGS.get(path.suffix.lower())
    if found is None:
        raise StudyError(
            f"'{path}' does not tell the format: wants .md, .tex, .xml or .ipynb, or --format "
            f"{', '.join(FORMATS)}"
        )
    return found


def files_of(exams: Sequence[Exam], path: Path, kind: str) -> dict[Path, bytes]:
    """All files of some exams with their contents; students' variants are called after them.

    Args:
        exams: one, or one for each student.
        path: of the exam; the key stands beside it. For PrairieLearn a folder.
        kind: a format.
    """
    found: dict[Path, bytes] = {}
    stem = path.name if kind == "prairielearn" else path.stem
    folder = path if kind == "prairielearn" else path.parent
    for exam in exams:
        name = slug(stem) if kind == "prairielearn" else stem
        if exam.student:
            name = f"{name}-{slug(exam.student)}"
        made = _apart(exam, name, kind, {path.relative_to(folder) for path in found})
        found |= {folder / file: content for file, content in made.items()}
    return found


def _apart(exam: Exam, name: str, kind: str, taken: set[Path]) -> dict[Path, bytes]:
    """The files of an exam under names of their own.

    Two students may be called alike or differ in signs only, and one may be called as the key or
    a picture of another; endings do not count, since a .tex becomes a .pdf.
    """
    stems = {file.with_suffix("") for file in taken}
    for number in count(1):
        tried = name if number == 1 else f"{name}-{number}"
        made = {Path(file): content for file, content in FORMATS[kind](exam, tried).items()}
        if not stems & {file.with_suffix("") for file in made}:
            return made
    raise AssertionError("counting has come to an end")


def slug(text: str) -> str:
    """A name that every file system takes.

    Examples:
        >>> slug("Zoë / O'Neill"), slug("李雷")
        ('zoe-o-neill', '李雷')
    """
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    word = re.sub(r"[^\w]+", "-", plain.lower()).strip("-_")
    return word[:60] or "student"


def write_files(files: dict[Path, bytes]) -> None:
    """Write each file whole.

    Raises:
        StudyError: a file cannot be written.
    """
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise StudyError(
                f"'{path}' cannot be written: {error.strerror or error}; choose another file"
            ) from None
