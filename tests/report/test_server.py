"""The practice page: answers are graded and kept, strangers are refused."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainrule.errors import RunError
from chainrule.record.scores import ScoreBook
from chainrule.record.store import RunStore
from chainrule.report.server import PracticeServer
from chainrule.study.practice.session import Session, Settings


@pytest.fixture
def served(tmp_path: Path) -> Iterator[PracticeServer]:
    book = ScoreBook(RunStore(tmp_path, create=True))
    settings = Settings(topics=("layer-volume", "layer-parameters"), count=2, seed=1)
    server = PracticeServer(Session(book, settings))
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    thread.join(10)


def _get(server: PracticeServer, path: str = "", **headers: str) -> str:
    request = urllib.request.Request(server.address + path, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        text: str = answer.read().decode()
    return text


def _post(server: PracticeServer, **form: str) -> str:
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(server.address, data, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def _form(page: str) -> dict[str, str]:
    return {
        name: re.search(rf'name="{name}" value="([^"]*)"', page)[1]
        for name in ("token", "question")
    }


def test_a_whole_session(served: PracticeServer) -> None:
    page = _get(served)
    assert "1 of 2" in page
    assert "solution" not in page  # nothing to look up before the answer
    waiting = served.session.next()
    assert waiting is not None
    form = _form(page)
    unreadable = _post(served, answer="???", **form)
    assert "no penalty" in unreadable
    assert 'value="???"' in unreadable or "radio" in unreadable  # not to be typed again
    told = _post(served, answer=waiting.expected.text, **form)
    assert "<h1>Right</h1>" in told
    assert "Proof" in told
    again = _post(served, answer="1", **form)  # the back button
    assert "Already answered" in again
    second = _form(_get(served))
    assert "Skipped" in _post(served, skip="1", **second)
    assert "1 of 2 right" in _get(served)
    scores = served.session.book.table().topics
    assert sum(score.answered for score in scores) == 2


def test_what_is_typed_is_shown_as_text(served: PracticeServer) -> None:
    form = _form(_get(served))
    told = _post(served, answer="<script>alert(1)</script>", **form)
    assert "<script>" not in told


def _refused(server: PracticeServer, **form: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _post(server, **form)
    caught.value.close()
    return caught.value.code


def test_strangers_are_refused(served: PracticeServer) -> None:
    form = _form(_get(served))
    assert _refused(served, answer="1", question=form["question"]) == 403
    assert _refused(served, answer="1", question=form["question"], token="guessed") == 403
    assert _refused(served, answer="1" * 20_000, **form) == 403
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(served, Host="evil.example")
    assert caught.value.code == 403
    caught.value.close()
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(served, "runs.sqlite3")
    assert caught.value.code == 404
    caught.value.close()
    assert served.session.done == 0


def test_only_on_this_machine(served: PracticeServer) -> None:
    assert served.http.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(served: PracticeServer) -> None:
    with pytest.raises(RunError, match=r"port \d+ cannot be used: .*--port"):
        PracticeServer(served.session, served.port)
