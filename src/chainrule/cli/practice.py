"""``chainrule practice``: questions with proved answers, asked, shown on a page, or exported."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.putting import put_out

if TYPE_CHECKING:
    from chainrule.study.practice.session import Session, Settings

practice_app = typer.Typer(
    name="practice",
    help="Practice questions whose answers are computed and proved.",
    rich_markup_mode="rich",
)

Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", help="A topic or family (again for another); by default all."),
]
Level = Annotated[int | None, typer.Option(help="1 (easy), 2 or 3; by default any.")]
Seed = Annotated[
    int | None,
    typer.Option(help="The same questions again; without it fresh ones, more of weak topics."),
]
Folder = Annotated[Path, typer.Option("--runs", help="Folder of the store that keeps scores.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
RUNS = Path("runs")
_WORDS = "an answer, ? for its form, skip, or quit"


@practice_app.callback(invoke_without_command=True)
def practice(
    context: typer.Context,
    topic: Topics = None,
    level: Level = None,
    count: Annotated[
        int | None, typer.Option(help="How many questions (default: 10; with --json 1).")
    ] = None,
    seed: Seed = None,
    exam: Annotated[bool, typer.Option("--exam", help="Grades are told at the end.")] = False,
    question: Annotated[
        str | None, typer.Option(help="One question again, by its identifier.")
    ] = None,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Do not go on with an unfinished session.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the questions as one HTML page instead of asking.")
    ] = None,
    runs: Folder = RUNS,
    json_output: AsJson = False,
) -> int | None:
    """Ask questions, grade the answers by computing, explain, and keep the score."""
    from chainrule.study.practice.session import Settings

    if context.invoked_subcommand is not None:
        _nothing_before(context)
        return None
    if question is not None or json_output or html is not None:
        wanted = 1 if count is None else count
        _tell(_questions(question, topic, level, wanted, seed), html, json_output)
        return 0
    settings = Settings(tuple(topic or ()), level, 10 if count is None else count, seed, exam)
    return _ask(settings, runs, afresh)


def _nothing_before(context: typer.Context) -> None:
    """Options stand behind the subcommand; before it they would do nothing.

    Raises:
        StudyError: there is one.
    """
    from chainrule.errors import StudyError

    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{ {'json_output': 'json'}.get(name, name).replace('_', '-') }"
            raise StudyError(
                f"{option} stands before {context.invoked_subcommand}, where it does nothing: "
                f"write chainrule practice {context.invoked_subcommand} {option} ..."
            )


def _questions(
    name: str | None, topic: list[str] | None, level: int | None, count: int, seed: int | None
) -> list[Any]:
    from random import SystemRandom

    from chainrule.study.practice.bank import draw, question

    if name is not None:
        return [question(name)]
    return draw(
        count, SystemRandom().randrange(2**31) if seed is None else seed, topic or (), level
    )


def _tell(questions: list[Any], html: Path | None, json_output: bool) -> None:
    """The questions with their answers, for machines, for a page, or to read."""
    from chainrule.report.terminal import show

    if html is not None:
        from chainrule.report.page import write_page
        from chainrule.study.practice.exam import Exam

        write_page(Exam("Practice", tuple(questions)), html)
        typer.echo(f"written: {html}", err=True)
    if json_output:
        typer.echo(json.dumps({"questions": [item.to_dict() for item in questions]}))
    elif html is None:
        for item in questions:
            show(item)


def _ask(settings: Settings, runs: Path, afresh: bool) -> int:
    """The session in the terminal; what was answered is kept whatever happens."""
    from chainrule.report.terminal import show
    from chainrule.study.practice.session import Session

    session = Session(_book(runs), settings, afresh=afresh)
    if session.resumed:
        typer.echo(f"going on after {session.done} of {settings.count} (--afresh begins anew)")
    typer.echo(f"type {_WORDS}\n")
    try:
        whole = _one_after_the_other(session)
    except KeyboardInterrupt:
        typer.echo("\nstopped; what is answered is kept, the same command goes on", err=True)
        return 130
    show(session.result())
    if not whole:
        typer.echo("\nstopped; the same command goes on", err=True)
    return 0


def _book(runs: Path) -> Any:
    from chainrule.record.scores import ScoreBook
    from chainrule.record.store import RunStore

    return ScoreBook(RunStore(runs, create=True))


def _one_after_the_other(session: Session) -> bool:
    """Ask until the end; False when the user has had enough."""
    from chainrule.report.practised import asked, solved
    from chainrule.report.terminal import PipeConsole

    console = PipeConsole(highlight=False)
    while (question := session.next()) is not None:
        heading = f"{session.done + 1}/{session.settings.count}  {question.topic}"
        console.print(f"{heading}, level {question.level}", style="bold", markup=False)
        console.print(asked(question))
        if not _answered(session, console):
            return False
        if not session.settings.exam:
            console.print(solved(question))
        console.print()
    return True


def _answered(session: Session, console: Any) -> bool:
    """Read until something can be graded; False to stop."""
    from chainrule.errors import StudyError
    from chainrule.report.practised import graded

    question = session.next()
    assert question is not None
    while True:
        given = _typed()
        if given is None or given.lower() in ("quit", "q", "exit"):
            return False
        if given.lower() == "skip":
            session.skip()
            return True
        if given in ("?", "help"):
            console.print(f"wants {question.expected.form}", style="dim", markup=False)
            continue
        try:
            grade = session.answer(given)
        except StudyError as error:
            console.print(f"{error} (no penalty)", style="yellow", markup=False)
            continue
        if not session.settings.exam:
            console.print(graded(grade))
        return True


def _typed() -> str | None:
    """A line without its end; None when there are no more."""
    sys.stdout.flush()
    try:
        given = input("> ").strip()
    except EOFError:
        typer.echo()
        return None
    if not sys.stdin.isatty():
        typer.echo(given)  # nobody has typed it here, and the protocol should show it
    return given


@practice_app.command("serve")
def serve_command(
    topic: Topics = None,
    level: Level = None,
    count: Annotated[int, typer.Option(help="How many questions.")] = 10,
    seed: Seed = None,
    exam: Annotated[bool, typer.Option("--exam", help="Grades are told at the end.")] = False,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Do not go on with an unfinished session.")
    ] = False,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = 0,
    runs: Folder = RUNS,
) -> int:
    """The same session in the browser, on this machine only; Ctrl-C ends it."""
    from chainrule.report.server import PracticeServer
    from chainrule.study.practice.session import Session, Settings

    settings = Settings(tuple(topic or ()), level, count, seed, exam)
    server = PracticeServer(Session(_book(runs), settings, afresh=afresh), port)
    typer.echo(f"open {server.address} in a browser; Ctrl-C ends it")
    try:
        server.serve()
    except KeyboardInterrupt:
        typer.echo("\nstopped; what is answered is kept, the same command goes on", err=True)
    return 0


@practice_app.command("topics")
def topics_command(json_output: AsJson = False) -> None:
    """The topics with their families of questions."""
    from chainrule.study.practice.bank import topic_list

    found = topic_list()
    put_out(found, None, json_output)


@practice_app.command("scores")
def scores_command(runs: Folder = RUNS, json_output: AsJson = False) -> None:
    """How you do in each topic, the weakest first."""
    from chainrule.errors import StudyError
    from chainrule.record.scores import ScoreBook
    from chainrule.record.store import FILE, RunStore

    if not (runs / FILE).exists():
        raise StudyError(f"no scores are kept in '{runs}': chainrule practice makes the first")
    table = ScoreBook(RunStore(runs)).table()
    put_out(table, None, json_output)


@practice_app.command("check")
def check_command(
    count: Annotated[int, typer.Option(min=1, help="Questions of each family and level.")] = 20,
    topic: Topics = None,
    seed: Annotated[int, typer.Option(help="Of the questions.")] = 0,
    json_output: AsJson = False,
) -> int:
    """Prove the bank: make questions, compute each answer two ways, read them as a grader does."""
    from chainrule.report.live import counting
    from chainrule.study.practice.check import check_bank

    with counting("families") as told:
        found = check_bank(count, seed, topic or (), told)
    put_out(found, None, json_output)
    return 1 if found.problems else 0


@practice_app.command("export")
def export_command(
    path: Annotated[Path, typer.Argument(help="File to write (a folder for prairielearn).")],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="markdown, latex, moodle-xml, prairielearn or ipynb; by default as the file ends.",
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Above the questions.")] = "Practice exam",
    topic: Topics = None,
    level: Level = None,
    count: Annotated[int, typer.Option(help="How many questions.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the exam.")] = 0,
    students: Annotated[
        Path | None, typer.Option(help="File with a name on each line: a variant for each.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there.")
    ] = False,
) -> None:
    """Write an exam, and its key for teachers beside it; variants for each student of a class."""
    from chainrule.report.exam.write import files_of, format_of, write_files
    from chainrule.study.practice.exam import exam

    kind = format_of(path, format_)
    names = [""] if students is None else _names(students)
    exams = [exam(title, count, seed, topic or (), level, name) for name in names]
    files = files_of(exams, path, kind)
    there = [file for file in files if file.exists()]
    if there and not force:
        _may_overwrite(there)
    write_files(files)
    for file in files:
        if file.suffix not in (".svg", ".pdf", ".png"):
            typer.echo(f"written: {file}")


def _names(path: Path) -> list[str]:
    """Names on the lines of a file."""
    from chainrule.errors import StudyError

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"students '{path}' cannot be read: {reason}") from None
    names = [" ".join(line.split()) for line in lines if line.strip()]
    if not names:
        raise StudyError(f"students '{path}' has no name in it: wants one on each line")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StudyError(f"students '{path}' has '{twice[0]}' twice: tell them apart")
    return names


def _may_overwrite(there: list[Path]) -> None:
    """Ask on a terminal; refuse elsewhere.

    Raises:
        StudyError: the files stay.
    """
    from chainrule.errors import StudyError

    names = f"'{there[0]}'" + (f" and {len(there) - 1} more" if len(there) > 1 else "")
    verb = "are" if len(there) > 1 else "is"
    if sys.stdin.isatty() and typer.confirm(f"{names} {verb} there already: write over?"):
        return
    raise StudyError(
        f"{names} {verb} there already, not written over: choose another file, or --force"
    )
