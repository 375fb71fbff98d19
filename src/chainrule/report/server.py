"""Server: a practice session in the browser, on this machine only, without a script in the page."""

from __future__ import annotations

import re
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from markupsafe import Markup

from chainrule._version import __version__
from chainrule.errors import RunError, StudyError
from chainrule.report.page import html, render
from chainrule.report.practised import question_html
from chainrule.study.practice.expected import LETTERS, Choice, Grade
from chainrule.study.practice.question import Question
from chainrule.study.practice.session import Session

_HOST = "127.0.0.1"
_MOST_BYTES = 10_000
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class PracticeServer:
    """Serves one session; whoever opens the page answers it.

    Args:
        session: asks and keeps.
        port: 0 takes a free one.

    Raises:
        RunError: the port is taken or not allowed.
    """

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session, self.token = session, secrets.token_urlsafe(16)
        self.lock = threading.Lock()
        practice = self

        class Handler(_Handler):
            server_of_practice = practice

        try:
            self.http = ThreadingHTTPServer((_HOST, port), Handler)
        except (OSError, OverflowError) as error:
            raise RunError(
                f"port {port} cannot be used: {error}; choose another with --port, 0 for a free one"
            ) from None
        self.http.daemon_threads = True

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.http.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{_HOST}:{self.port}/"

    def serve(self) -> None:
        """Answer until interrupted."""
        try:
            self.http.serve_forever(poll_interval=0.2)
        finally:
            self.http.server_close()

    def shown(self) -> str:
        """The page of the question that waits, or of the end."""
        with self.lock:
            question = self.session.next()
            if question is None:
                result = self.session.result()
                return _page(f"{result.correct} of {len(result.answered)} right", html(result))
            return self._asking(question)

    def _asking(self, question: Question, problem: str = "", typed: str = "") -> str:
        settings = self.session.settings
        body = render(
            "asking.html",
            body=Markup(question_html(question, folded=False, listed=not question.options)),
            options=[
                (letter, option.text)
                for letter, option in zip(LETTERS, question.options, strict=False)
            ],
            several=isinstance(question.expected, Choice) and question.expected.several,
            form=question.expected.form,
            problem=problem,
            typed=typed,
            token=self.token,
            id=question.id,
        )
        heading = f"{self.session.done + 1} of {settings.count}: {question.topic}"
        return _page(f"{heading}, level {question.level}", body)

    def answered(self, form: dict[str, list[str]]) -> str:
        """Grade what was sent; an answer to a question that waits no more is not counted again."""
        with self.lock:
            question = self.session.next()
            if question is None or form.get("question") != [question.id]:
                return _page("Already answered", render("onward.html", body=""))
            if "skip" in form:
                self.session.skip()
                grade = None
            else:
                given = _given(question, form)
                try:
                    grade = self.session.answer(given)
                except StudyError as error:
                    return self._asking(question, f"{error} (no penalty)", given)
            return self._told(question, grade)

    def _told(self, question: Question, grade: Grade | None) -> str:
        if self.session.settings.exam:
            return _page("Kept", render("onward.html", body=""))
        heading = "Skipped" if grade is None else "Right" if grade.right else "Not right"
        read = "" if grade is None else f"Read as {grade.understood}."
        remark = "" if grade is None or not grade.remark else f" {grade.remark}"
        body = Markup("<p>{}{}</p>").format(read, remark)
        body += Markup(question_html(question, opened=True))
        return _page(heading, render("onward.html", body=body))


def _given(question: Question, form: dict[str, list[str]]) -> str:
    """What was typed or chosen; none of several options is an answer too."""
    given = ", ".join(form.get("answer", []))
    several = isinstance(question.expected, Choice) and question.expected.several
    return "none" if several and not given.strip() else given


def _page(title: str, body: str) -> str:
    return render("page.html", title=title, body=Markup(body), version=__version__)


class _Handler(BaseHTTPRequestHandler):
    """GET shows the question that waits, POST answers it."""

    server_of_practice: PracticeServer
    server_version, sys_version = "chainrule", ""

    def do_GET(self) -> None:
        """The question that waits."""
        if not self._ours():
            return
        if self.path != "/":
            self._send(HTTPStatus.NOT_FOUND, _page("Not here", '<p><a href="/">On</a></p>'))
            return
        self._answer(self.server_of_practice.shown)

    def do_POST(self) -> None:
        """An answer, from our own form only."""
        if not self._ours():
            return
        form = self._form()
        if form is None or form.get("token") != [self.server_of_practice.token]:
            self._send(HTTPStatus.FORBIDDEN, _page("Not from this page", '<a href="/">On</a>'))
            return
        self._answer(lambda: self.server_of_practice.answered(form))

    def _answer(self, make: Any) -> None:
        try:
            page = make()
        except Exception as error:  # noqa: BLE001 - a page says so, whatever it is
            page = _page("Something went wrong", str(Markup("<p>{}</p>").format(error)))
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, page)
            return
        self._send(HTTPStatus.OK, page)

    def _ours(self) -> bool:
        """Whether it was asked for by our own name: by another's DNS anybody could be led here."""
        port = self.server_of_practice.port
        if self.headers.get("Host") in (f"{_HOST}:{port}", f"localhost:{port}"):
            return True
        self._send(HTTPStatus.FORBIDDEN, "not from here")
        return False

    def _form(self) -> dict[str, list[str]] | None:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,5}", length) or int(length) > _MOST_BYTES:
            return None
        body = self.rfile.read(int(length)).decode("utf-8", "replace")
        return parse_qs(body, keep_blank_values=True)

    def _send(self, status: HTTPStatus, page: str) -> None:
        data = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing: the terminal belongs to the user."""
