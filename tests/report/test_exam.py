"""Exams to hand out: whole, readable by what they are for, and without the answers in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from chainrule.errors import StudyError
from chainrule.finding import Proof
from chainrule.report.exam.latex import escaped as latex_escaped
from chainrule.report.exam.markdown import escaped
from chainrule.report.exam.write import FORMATS, files_of, format_of, slug, write_files
from chainrule.study.picture import Panel, Picture, curve
from chainrule.study.practice.exam import Exam, exam
from chainrule.study.practice.expected import (
    Choice,
    Expected,
    Formula,
    Number,
    Truth,
    Vector,
    Volume,
)
from chainrule.study.practice.question import Mistake, Option, Question

PICTURE = Picture("Loss", "it falls", (Panel("Loss", "step", "nats", (curve("a", [3.0, 1.0]),)),))
OPTIONS = (Option("`x_1` < 5", True, "yes"), Option("50 % & more", False, "no: {2}"),
           Option("\\none", False, "no $"))  # fmt: skip


def _question(
    expected: Expected,
    options: tuple[Option, ...] = (),
    mistakes: tuple[Mistake, ...] = (),
    figure: Picture | None = None,
) -> Question:
    text = "In lines:\n`a = 1`\n"
    text += 'What is 50 % of `w_1` * {2} {{y}} & <b> \\ $x$ #1 ~ ^ | "Zoë" × 2 → ∞ [a](b)?'
    return Question(
        "kind:1:7", "losses", "kind", 1, 7, text, ("natural logarithm, `ln`",), options, expected,
        mistakes, ("1_000 * 2", "so `2`"), Proof("the answer is", "counting", 1), "zero-input",
        figure,
    )  # fmt: skip


EVERY = (
    _question(Number(260, "parameters")),
    _question(Number(0.25)),
    _question(Number(0.0)),
    _question(Volume((32, 32, 10))),
    _question(Vector((1.0, -0.5))),
    _question(Truth(True)),
    _question(Choice(("a",), 3), OPTIONS, figure=PICTURE),
    _question(Choice(("a",), 3, several=True), OPTIONS),
    _question(Choice((), 3, several=True),
              tuple(Option(one.text, False, "no") for one in OPTIONS)),
    _question(Formula("1{a > b}*c", ("a", "b", "c")),
              mistakes=(Mistake("c", "forgets the gate"), Mistake("0", "shuts it"))),
    _question(Formula("a*b", ("a", "b"))),
)  # fmt: skip
ALL = Exam("Quiz #1 / 50 % & more", EVERY, "Zoë <O'Neill> {x}", 3)


@pytest.fixture(params=list(FORMATS))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    kind = request.param
    write_files(files_of([ALL], tmp_path / "quiz.x", kind))
    return kind, tmp_path


def test_every_kind_of_answer_in_every_format(written: tuple[str, Path]) -> None:
    _, folder = written
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any("key" in path.name for path in files), files
    for path in files:
        assert path.stat().st_size


def test_the_exam_does_not_tell_the_answers(tmp_path: Path) -> None:
    """Where people read it: the answer, the steps and the reasons stand in the key alone."""
    for kind in ("markdown", "latex", "ipynb"):
        for path, content in files_of([ALL], tmp_path / "quiz", kind).items():
            if path.suffix in (".svg", ".pdf"):
                continue
            text = content.decode()
            told = "260 parameters" in text and "counting" in text
            assert told == ("key" in path.name), path


def test_moodle_grades_what_it_can(tmp_path: Path) -> None:
    files = files_of([ALL], tmp_path / "quiz.xml", "moodle-xml")
    (text,) = [content for path, content in files.items() if path.suffix == ".xml"]
    root = ElementTree.fromstring(text)
    kinds = [item.get("type") for item in root]
    assert kinds == [
        "category", "numerical", "numerical", "numerical", "cloze", "cloze", "truefalse",
        "multichoice", "multichoice", "multichoice", "multichoice", "essay",
    ]  # fmt: skip
    for item in root[1:]:
        assert item.findtext("name/text")
        assert "50 %" in (item.findtext("questiontext/text") or "")
        best = [float(one.get("fraction", "0")) for one in item.findall("answer")]
        assert not best or sum(share for share in best if share > 0) == pytest.approx(100)
    assert root[1].findtext("answer/text") == "260"
    assert root[1].findtext("answer/tolerance") == "0"
    assert float(root[2].findtext("answer/tolerance") or 0) == pytest.approx(0.25 * 5e-3)
    assert "{1:NUMERICAL:=32:0} x {1:NUMERICAL:=32:0} x {1:NUMERICAL:=10:0}" in (
        root[4].findtext("questiontext/text") or ""
    )
    assert root[7].find("questiontext/file") is not None
    none = [item.findall("answer")[-1] for item in (root[8], root[9])]
    assert [one.findtext("text") for one in none] == ["none of these"] * 2
    assert [float(one.get("fraction", "0")) > 0 for one in none] == [False, True]


def test_two_formats_of_one_exam_do_not_share_a_file(tmp_path: Path) -> None:
    taken = [set(files_of([ALL], tmp_path / "quiz", kind)) for kind in FORMATS]
    assert len(set.union(*taken)) == sum(map(len, taken))


def test_moodle_takes_any_sign(tmp_path: Path) -> None:
    odd = Exam("a\x00b ]]> &", (_question(Number(1)),), "\x07\ufffe")
    (text, _) = files_of([odd], tmp_path / "quiz.xml", "moodle-xml").values()
    assert "ab ]]> &" in (ElementTree.fromstring(text)[0].findtext("category/text") or "")


def test_prairielearn(tmp_path: Path) -> None:
    folder = tmp_path / "quiz"
    write_files(files_of([ALL], folder, "prairielearn"))
    infos = [json.loads(path.read_text()) for path in folder.rglob("info.json")]
    assert len(infos) == len(EVERY)
    assert len({info["uuid"] for info in infos}) == len(EVERY)
    assert all(info["type"] == "v3" for info in infos)
    (assessment,) = folder.rglob("infoAssessment.json")
    listed = json.loads(assessment.read_text())["zones"][0]["questions"]
    for item in listed:
        page = (folder / "questions" / item["id"] / "question.html").read_text()
        ElementTree.fromstring(f"<x>{page}</x>")  # every element closed, every sign escaped
        assert "{{" not in page
        assert re.search(r"<pl-(number|integer)-input|<pl-multiple|<pl-checkbox|<pl-rich", page)


def test_notebooks_are_notebooks(tmp_path: Path) -> None:
    for content in files_of([ALL], tmp_path / "quiz.ipynb", "ipynb").values():
        nbformat.validate(nbformat.reads(content.decode(), as_version=4))


def test_the_key_of_a_notebook_runs(tmp_path: Path) -> None:
    made = exam("Quiz", 2, 3, ["parameters"])
    files = files_of([made], tmp_path / "quiz.ipynb", "ipynb")
    (key,) = [content for path, content in files.items() if "key" in path.name]
    cells = nbformat.reads(key.decode(), as_version=4).cells
    for cell, question in zip(
        (cell for cell in cells if cell.cell_type == "code"), made.questions, strict=True
    ):
        *before, last = cell.source.splitlines()
        scope: dict[str, object] = {}
        exec("\n".join(before), scope)
        assert eval(last, scope) == question.expected.text


def test_latex_is_balanced(tmp_path: Path) -> None:
    for path, content in files_of([ALL], tmp_path / "quiz.tex", "latex").items():
        if path.suffix != ".tex":
            continue
        text = content.decode()
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
        begun = re.findall(r"\\begin\{(\w+)\}", text)
        ended = re.findall(r"\\end\{(\w+)\}", text)
        assert sorted(begun) == sorted(ended)
        assert not re.search(r"(?<!\\)[&#]", text)
        assert not re.search(r"[^\x00-\u024f\u2010-\u2027]", text.replace("ë", ""))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        ("`a_b`", r"\texttt{a\_b}"),
        ("x^2 \\", r"x\textasciicircum{}2 \textbackslash{}"),
        ("2 × 3 ≥ 1", r"2 \ensuremath{\times} 3 \ensuremath{\ge} 1"),
    ],
)
def test_latex_signs(text: str, wanted: str) -> None:
    assert latex_escaped(text) == wanted


def test_markdown_signs() -> None:
    assert escaped("a*b_c `d*e` <b> [x](y)") == r"a\*b\_c `d*e` \<b\> \[x\](y)"


def test_students_have_variants_of_their_own(tmp_path: Path) -> None:
    names = ["Ada", "Zoë / O'Neill", "李雷", "ada", "../../etc"]
    exams = [exam("Quiz", 3, 5, ["parameters"], student=name) for name in names]
    assert len({item.seed for item in exams}) == len(names)
    assert exam("Quiz", 3, 5, ["parameters"], student="Ada") == exams[0]
    assert exam("Quiz", 3, 6, ["parameters"], student="Ada").seed != exams[0].seed
    files = files_of(exams, tmp_path / "quiz.md", "markdown")
    assert len(files) == 2 * len(names)  # none is written over by another
    assert all(path.parent == tmp_path for path in files)
    assert tmp_path / "quiz-ada-2.md" in files


def test_a_student_called_as_the_key_of_another(tmp_path: Path) -> None:
    exams = [exam("Quiz", 1, 5, ["parameters"], student=name) for name in ("Sam", "Sam Key")]
    files = files_of(exams, tmp_path / "q.tex", "latex")
    names = sorted(path.name for path in files)
    assert names == ["q-sam-key-2-key.tex", "q-sam-key-2.tex", "q-sam-key.tex", "q-sam.tex"]
    assert "Key: " in files[tmp_path / "q-sam-key.tex"].decode()


def test_options_in_brackets_are_no_labels_of_latex(tmp_path: Path) -> None:
    options = tuple(Option(text, text == "[1, 2]", "so") for text in ("[1, 2]", "[3]", "[4]"))
    one = Exam("Quiz", (_question(Choice(("a",), 3), options),))
    for content in files_of([one], tmp_path / "q.tex", "latex").values():
        assert not re.search(r"\\item\s*\[", content.decode())


def test_lines_of_a_question_stay_lines(tmp_path: Path) -> None:
    one = Exam("Quiz", (_question(Number(1)),))
    wanted = {"markdown": "In lines:  \n`a = 1`  \n", "latex": "lines:\\newline\n\\texttt{a = 1}",
              "moodle-xml": "In lines:&lt;br", "prairielearn": "In lines:<br/>",
              "ipynb": "In lines:  \\n"}  # fmt: skip
    for kind, words in wanted.items():
        texts = [c.decode() for c in files_of([one], tmp_path / "q", kind).values()]
        assert any(words in text for text in texts), kind


def test_keys_name_options_by_their_letters(tmp_path: Path) -> None:
    for kind in FORMATS:
        (key,) = [c.decode() for p, c in files_of([ALL], tmp_path / "q", kind).items()
                  if "key" in p.name]  # fmt: skip
        assert "not (b)" in key, kind


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("   ", "student"),
        ("x" * 99, "x" * 60),
        ("a\x00b", "a-b"),
    ],
)
def test_slug(text: str, wanted: str) -> None:
    assert slug(text) == wanted


@pytest.mark.parametrize(
    ("path", "named", "words"),
    [
        ("quiz.pdf", None, "'quiz.pdf' does not tell the format"),
        ("quiz.md", "latx", "format got 'latx'; did you mean 'latex'?"),
    ],
)
def test_unknown_formats(path: str, named: str | None, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        format_of(Path(path), named)
    assert words in str(caught.value)


def test_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        write_files({tmp_path / "file" / "quiz.md": b"x"})
