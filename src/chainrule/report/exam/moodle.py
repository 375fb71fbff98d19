"""An exam as Moodle XML, which grades itself; the key beside it as Markdown.

Source: Moodle documentation, Moodle XML format. What Moodle cannot compute (formulas) is asked
with options where mistakes are known, else as an essay with the answer for the grader.
"""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

from chainrule.report.exam.markdown import key
from chainrule.report.exam.options import options_of
from chainrule.report.practised import code_html
from chainrule.report.studied_pictures import picture_file
from chainrule.study.practice.exam import Exam
from chainrule.study.practice.expected import Choice, Number, Truth, Vector, Volume
from chainrule.study.practice.question import Option, Question

Files = dict[str, bytes]
Element = ElementTree.Element


def moodle(exam: Exam, name: str) -> Files:
    """One XML file to import, and the key.

    Args:
        exam: the questions.
        name: of the file, without its ending.
    """
    quiz = Element("quiz")
    category = _sub(quiz, "question", type="category")
    names = [name for name in (exam.title, exam.student) if name]
    path = "/".join(name.replace("/", "//") for name in names)  # a single one begins a category
    _text(_sub(category, "category"), f"$course$/top/{path}")
    for number, question in enumerate(exam.questions, 1):
        quiz.append(_question(question, f"{number:02d} {question.topic} ({question.id})"))
    ElementTree.indent(quiz)
    text = ElementTree.tostring(quiz, encoding="utf-8", xml_declaration=True)
    return {f"{name}.xml": text, f"{name}-moodle-key.md": key(exam).encode()}


def _question(question: Question, name: str) -> Element:
    expected = question.expected
    if isinstance(expected, Choice):
        made = _choices(options_of(question), expected.several)
    elif isinstance(expected, Truth):
        made = _truth(expected)
    elif isinstance(expected, Number):
        made = _number(expected)
    elif isinstance(expected, Vector | Volume):
        made = Element("question", type="cloze")
    elif options_of(question):
        made = _choices(options_of(question), False)
    else:
        made = _essay(question)
    head = [_named("name", name), _asked(question)]
    feedback = _feedback(question)
    for place, item in enumerate([*head, feedback]):
        made.insert(place, item)
    return made


def _asked(question: Question) -> Element:
    """The text of the question as HTML; pictures ride along as files."""
    words = f"<p>{code_html(question.text)}</p>"
    if question.conventions:
        words += f"<p><em>{code_html('; '.join(question.conventions))}</em></p>"
    found = Element("questiontext", format="html")
    if question.figure is not None:
        words += '<p><img src="@@PLUGINFILE@@/figure.png" alt=""/></p>'
    words += _gaps(question)
    _text(found, words)
    if question.figure is not None:
        file = _sub(found, "file", name="figure.png", path="/", encoding="base64")
        file.text = base64.b64encode(picture_file(question.figure, "png")).decode()
    return found


def _gaps(question: Question) -> str:
    """Gaps for several numbers, in Moodle's notation for embedded answers."""
    expected = question.expected
    if isinstance(expected, Volume):
        return " x ".join(f"{{1:NUMERICAL:={size}:0}}" for size in expected.sizes)
    if isinstance(expected, Vector):
        gaps = (f"{{1:NUMERICAL:={v:.10g}:{_margin(v, expected.close):.3g}}}"
                for v in expected.values)  # fmt: skip
        return "[" + ", ".join(gaps) + "]"
    return ""


def _margin(value: float, close: float) -> float:
    """The largest difference that is right, as ``Number.grade`` has it."""
    return abs(value) * close if value else close * 1e-1


def _feedback(question: Question) -> Element:
    steps = "".join(f"<li>{code_html(step)}</li>" for step in question.solution)
    found = Element("generalfeedback", format="html")
    _text(found, f"<p>{code_html(question.answer_text)}</p><ol>{steps}</ol>"
                 f"<p>{code_html(question.proof.way)} gives the same.</p>")  # fmt: skip
    return found


def _choices(options: tuple[Option, ...], several: bool) -> Element:
    made = Element("question", type="multichoice")
    _sub(made, "single").text = "false" if several else "true"
    _sub(made, "shuffleanswers").text = "false"  # the key speaks of letters
    _sub(made, "answernumbering").text = "abc"
    right = sum(option.right for option in options)
    wrong = len(options) - right
    for option in options:
        share = _share(right) if option.right else (_share(wrong, -1) if several else "0")
        answer = _sub(made, "answer", fraction=share, format="html")
        _text(answer, str(code_html(option.text)))
        why = option.why if option.right else f"No: {option.why}"
        _text(_sub(answer, "feedback", format="html"), str(code_html(why)))
    return made


def _share(count: int, sign: int = 1) -> str:
    """A fraction in Moodle's own digits: it refuses others."""
    return f"{sign * 100 / count:.5f}".rstrip("0").rstrip(".") if count else "0"


def _truth(expected: Truth) -> Element:
    made = Element("question", type="truefalse")
    for value in (True, False):
        answer = _sub(made, "answer", fraction="100" if value == expected.value else "0")
        _text(answer, "true" if value else "false")
    return made


def _number(expected: Number) -> Element:
    made = Element("question", type="numerical")
    answer = _sub(made, "answer", fraction="100")
    _text(answer, f"{expected.value:.10g}" if isinstance(expected.value, float)
          else str(expected.value))  # fmt: skip
    share = expected.close if expected.close is not None else 5e-3
    whole = isinstance(expected.value, int) and expected.close is None
    _sub(answer, "tolerance").text = "0" if whole else f"{_margin(expected.value, share):.3g}"
    return made


def _essay(question: Question) -> Element:
    made = Element("question", type="essay")
    _sub(made, "responseformat").text = "plain"
    info = _sub(made, "graderinfo", format="html")
    _text(info, f"<p>{code_html(question.answer_text)}</p>")
    return made


def _named(tag: str, text: str) -> Element:
    found = Element(tag)
    _text(found, text)
    return found


def _sub(parent: Element, tag: str, **attributes: str) -> Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _text(parent: Element, text: str) -> None:
    _sub(parent, "text").text = _allowed(text)


def _allowed(text: str) -> str:
    """Without the control characters that XML has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
