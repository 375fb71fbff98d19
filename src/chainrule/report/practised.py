"""How questions, grades and sessions look."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.record.scores import ScoreTable, TopicScore
from chainrule.report.page import html, render, title
from chainrule.report.studied_pictures import studied_picture
from chainrule.report.terminal import facts, renderable
from chainrule.report.words import sparkline
from chainrule.study.picture import Panel, Picture
from chainrule.study.practice.bank import TopicList
from chainrule.study.practice.check import BankCheck
from chainrule.study.practice.exam import Exam
from chainrule.study.practice.expected import LETTERS, Grade
from chainrule.study.practice.question import Question
from chainrule.study.practice.session import SessionResult

_CODE = re.compile(r"`([^`]*)`")


def coded(text: str) -> Text:
    """Text with what stands in backticks set apart.

    Examples:
        >>> coded("behind `CONV5-10`?").plain
        'behind CONV5-10?'
    """
    made = Text()
    for place, piece in enumerate(_CODE.split(text)):
        made.append(piece, style="cyan" if place % 2 else "")
    return made


def code_html(text: str) -> Markup:
    """The same as HTML.

    Examples:
        >>> print(code_html("`a<b`?"))
        <code>a&lt;b</code>?
    """
    pieces = _CODE.split(text)
    made = [
        Markup("<code>{}</code>").format(piece) if place % 2 else Markup.escape(piece)
        for place, piece in enumerate(pieces)
    ]
    return Markup("").join(made).replace("\n", Markup("<br/>\n"))


def asked(question: Question) -> RenderableType:
    """What is shown before it is answered."""
    parts: list[RenderableType] = [coded(question.text)]
    if question.figure is not None:
        parts += [Text(""), *_lines(question.figure)]
    if question.options:
        parts.append(Text(""))
    for letter, option in zip(LETTERS, question.options, strict=False):
        parts.append(Text.assemble(f"  ({letter}) ", coded(option.text)))
    if question.conventions:
        conventions = coded("; ".join(question.conventions))
        conventions.stylize("dim")
        parts += [Text(""), conventions]
    return Group(*parts)


def _lines(picture: Picture) -> list[RenderableType]:
    """A picture as lines of blocks, as well as a terminal can; the page draws it."""
    found: list[RenderableType] = []
    for panel in picture.panels:
        if not isinstance(panel, Panel):
            continue
        found.append(Text(f"{panel.y_label} against {panel.x_label}", style="dim"))
        for one in panel.curves:
            low, high = min(one.y, default=0.0), max(one.y, default=0.0)
            blocks = sparkline(one.y, 48)
            found.append(Text(f"  {one.label:<12.12} {blocks}  {low:.3g} to {high:.3g}"))
    return found


def solved(question: Question) -> RenderableType:
    """The answer, the way there and the proof."""
    return facts(
        [
            ("answer", question.answer_text),
            *(("why" if place == 0 else "", step) for place, step in enumerate(question.solution)),
            *_refuted(question),
            ("proof", f"{question.proof.way}: {question.proof.claim}"),
            ("see", f"chainrule study {question.experiment}" if question.experiment else ""),
            ("again", f"chainrule practice --question {question.id}"),
        ]
    )


def _refuted(question: Question) -> list[tuple[str, str]]:
    """Why each wrong option is wrong."""
    pairs = zip(LETTERS, question.options, strict=False)
    return [(f"not ({letter})", option.why) for letter, option in pairs if not option.right]


def graded(grade: Grade) -> RenderableType:
    """Right or not, with the mistake where it is known."""
    read = "" if _same(grade) else f" (read as {grade.understood})"
    if grade.right:
        note = f"; {grade.remark}" if grade.remark else ""
        return Text(f"✓ right{read}{note}", style="green")
    known = f": {grade.remark}" if grade.remark else ""
    return Text(f"✗ not right{read}{known}", style="red")


def _same(grade: Grade) -> bool:
    def plain(text: str) -> str:
        return re.sub(r"[\s,]", "", text).lower()

    return plain(grade.given) == plain(grade.understood)


@renderable.register
def _question(answer: Question) -> RenderableType:
    heading = Text(f"{answer.topic}, level {answer.level}", style="bold")
    return Group(heading, Text(""), asked(answer), Text(""), solved(answer))


@renderable.register
def _session(answer: SessionResult) -> RenderableType:
    if not answer.answered:
        return Text("nothing was answered")
    parts: list[RenderableType] = []
    if answer.exam:
        for number, item in enumerate(answer.answered, 1):
            mark = "✓" if item.correct else "✗"
            heading = f"{mark} {number}. {item.question.topic}: answered {item.given}"
            parts += [
                Text(heading, style="bold"),
                asked(item.question),
                solved(item.question),
                Text(""),
            ]
    count = len(answer.answered)
    share = f"{100 * answer.correct / count:.0f} %"
    parts += [Text(f"{answer.correct} of {count} right ({share})", style="bold"), Text("")]
    return Group(*parts, _scores(answer.topics))


def _scores(scores: Sequence[TopicScore]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("topic", "right", "of", "share"):
        table.add_column(head, justify="left" if head == "topic" else "right")
    for score in scores:
        share = f"{100 * score.correct / score.answered:.0f} %"
        table.add_row(score.topic, str(score.correct), str(score.answered), share)
    return table


@renderable.register
def _table(answer: ScoreTable) -> RenderableType:
    if not answer.topics:
        return Text("nothing has been practised yet: chainrule practice asks the first question")
    note = f"the last 30 answers of each topic, the weakest first; kept in {answer.folder}"
    return Group(_scores(answer.topics), Text(""), Text(note, style="dim"))


@renderable.register
def _bank(answer: BankCheck) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("family", "topic", "level", "questions", "different", "proved", "problems"):
        named = head in ("family", "topic")
        table.add_column(head, justify="left" if named else "right", no_wrap=named)
    for row in answer.rows:
        values = (row.level, row.questions, row.different, row.proved, len(row.problems) or "")
        table.add_row(row.family, row.topic, *map(str, values))
    families = len({row.family for row in answer.rows})
    words = (
        f"{answer.questions:,} questions of {families} families, {answer.proved:,} proved, "
        f"{answer.problems} problems; seed {answer.seed}"
    )
    problems = [Text(problem, style="red") for row in answer.rows for problem in row.problems]
    return Group(table, Text(""), *problems, Text(words, style="bold"))


@renderable.register
def _topics(answer: TopicList) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("topic", "family", "asks for", "levels"):
        table.add_column(head, no_wrap=head in ("topic", "family"))
    before = ""
    for topic, family, asks, levels in answer.families:
        table.add_row(topic if topic != before else "", family, asks, " ".join(map(str, levels)))
        before = topic
    return table


@title.register
def _exam_title(answer: Exam) -> str:
    return f"{answer.title}, {answer.student}" if answer.student else answer.title


@html.register
def _exam_page(answer: Exam) -> str:
    return "".join(
        f"<h2>{number}.</h2>{question_html(item)}"
        for number, item in enumerate(answer.questions, 1)
    )


@title.register
def _question_title(answer: Question) -> str:
    return f"{answer.topic}, level {answer.level}"


@html.register
def _question_page(answer: Question) -> str:
    return question_html(answer)


def question_html(
    question: Question, *, folded: bool = True, listed: bool = True, opened: bool = False
) -> str:
    """A question with its options; the solution unfolds.

    Args:
        question: what is asked.
        folded: with the solution in a part that unfolds; else without it.
        listed: with the list of its options.
        opened: the solution is unfolded at first.
    """
    figure = None if question.figure is None else Markup(studied_picture(question.figure))
    return render(
        "question.html",
        question=question,
        text=code_html(question.text),
        options=[
            (letter, code_html(option.text), option)
            for letter, option in zip(LETTERS, question.options, strict=False)
        ],
        solution=[code_html(step) for step in question.solution],
        answer=code_html(question.answer_text),
        conventions=code_html("; ".join(question.conventions)),
        figure=figure,
        folded=folded,
        listed=listed,
        opened=opened,
    )


@title.register
def _session_title(answer: SessionResult) -> str:
    return f"{answer.correct} of {len(answer.answered)} right"


@html.register
def _session_page(answer: SessionResult) -> str:
    parts = []
    for number, item in enumerate(answer.answered, 1):
        mark = "✓" if item.correct else "✗"
        given = Markup("<h2>{} {}. {}</h2><p>Answered: {}</p>").format(
            mark, number, item.question.topic, item.given
        )
        parts.append(f"{given}{question_html(item.question)}")
    return "".join(parts)
