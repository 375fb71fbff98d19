"""``chainrule practice`` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule, python

VOLUMES = ("practice", "--topic", "activation-volumes")


def _typed(folder: Path, answers: str, *words: str) -> subprocess.CompletedProcess[str]:
    return python(
        ["-W", "error", "-m", "chainrule", "practice", *words],
        folder=folder, typed=answers, environment={"COLUMNS": "100"},
    )  # fmt: skip


def test_question_answer_and_proof_for_a_machine() -> None:
    done = chainrule(*VOLUMES, "--seed", "1", "--json")
    (question,) = json.loads(done.stdout)["questions"]
    assert question["topic"] == "activation-volumes"
    assert question["expected"]["text"]
    assert question["solution"]
    assert question["proof"]["way"] == "a forward pass of the network that PyTorch builds"
    assert question["proof"]["differences"] == []
    again = chainrule("practice", "--question", question["id"], "--json")
    assert json.loads(again.stdout)["questions"] == [question]


def test_a_session(tmp_path: Path) -> None:
    words = ("--topic", "layer-parameters", "--level", "2", "--count", "2", "--seed", "1")
    shown = chainrule("practice", *words, "--json")
    (first, second) = json.loads(shown.stdout)["questions"]
    right = first["expected"]["text"]
    done = _typed(tmp_path, f"what?\n?\n{right}\n{second['mistakes'][0]['answer']}\n", *words)
    assert done.returncode == 0
    assert "(no penalty)" in done.stdout
    assert "wants a number of parameters" in done.stdout
    assert "✓ right" in done.stdout
    assert f"✗ not right: {second['mistakes'][0]['why']}" in done.stdout
    assert "proof" in done.stdout
    assert "1 of 2 right (50 %)" in done.stdout
    scores = chainrule("practice", "scores", "--runs", str(tmp_path / "runs"), "--json")
    (score,) = json.loads(scores.stdout)["topics"]
    assert score == {"topic": "parameters", "answered": 2, "correct": 1}


def test_an_exam_tells_nothing_before_its_end(tmp_path: Path) -> None:
    words = ("--topic", "layer-parameters", "--level", "2", "--count", "2", "--seed", "1", "--exam")
    done = _typed(tmp_path, "1\n2\n", *words)
    before = done.stdout[: done.stdout.index("> 2\n")]
    assert "right" not in before
    assert "proof" not in before
    assert done.stdout.count("proof") == 2
    assert "0 of 2 right" in done.stdout


def test_goes_on_after_the_input_ended(tmp_path: Path) -> None:
    words = ("--topic", "layer-parameters", "--level", "2", "--count", "2", "--seed", "1")
    first = _typed(tmp_path, "1\n", *words)
    assert first.returncode == 0
    assert "the same command goes on" in first.stderr
    second = _typed(tmp_path, "quit\n", *words)
    assert "going on after 1 of 2" in second.stdout
    third = _typed(tmp_path, "skip\n", *words)
    assert "0 of 2 right" in third.stdout


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_answered(tmp_path: Path) -> None:
    words = ["--topic", "layer-parameters", "--level", "2", "--count", "3", "--seed", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", "practice", *words],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("1\n")
    process.stdin.flush()
    seen = ""
    while "2/3" not in seen:
        seen += process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what is answered is kept" in said
    assert "Traceback" not in said
    assert "going on after 1 of 3" in _typed(tmp_path, "", *words).stdout


def test_page_of_questions(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = chainrule(*VOLUMES, "--count", "3", "--seed", "2", "--html", str(page))
    assert done.returncode == 0
    assert page.read_text().count("<details") == 3


def test_topics() -> None:
    listed = json.loads(chainrule("practice", "topics", "--json").stdout)["families"]
    assert len(listed) >= 30
    assert len({name for _, name, _, _ in listed}) == len(listed)


def test_export_never_writes_over_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "quiz.md"
    words = ("practice", "export", str(file), "--topic", "parameters", "--count", "2")
    done = chainrule(*words, "--seed", "4")
    assert done.returncode == 0
    assert done.stdout == f"written: {file}\nwritten: {tmp_path / 'quiz-key.md'}\n"
    before = file.read_text()
    refused = chainrule(*words, "--seed", "5")
    assert refused.returncode == 2
    assert "are there already, not written over" in refused.stderr
    assert file.read_text() == before
    assert chainrule(*words, "--seed", "5", "--force").returncode == 0
    assert file.read_text() != before


def test_export_asks_on_a_terminal(tmp_path: Path) -> None:
    import pty

    file = tmp_path / "quiz.md"
    file.write_text("mine")
    ours, theirs = pty.openpty()
    words = ["practice", "export", str(file), "--topic", "parameters", "--count", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", *words], stdin=theirs, stdout=subprocess.PIPE, text=True
    )
    os.write(ours, b"y\n")
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert "write over?" in out
    assert file.read_text() != "mine"


def test_variants_for_a_class(tmp_path: Path) -> None:
    (tmp_path / "class.txt").write_text("Ada\nZoë O'Neill\n\n 李雷 \n", encoding="utf-8")
    done = chainrule(
        "practice", "export", str(tmp_path / "quiz.tex"), "--students", str(tmp_path / "class.txt"),
        "--topic", "parameters", "--count", "1",
    )  # fmt: skip
    assert done.returncode == 0
    names = sorted(path.name for path in tmp_path.glob("quiz*"))
    assert names == [
        "quiz-ada-key.tex", "quiz-ada.tex", "quiz-zoe-o-neill-key.tex", "quiz-zoe-o-neill.tex",
        "quiz-李雷-key.tex", "quiz-李雷.tex",
    ]  # fmt: skip
    assert "Zoë O'Neill" in (tmp_path / "quiz-zoe-o-neill.tex").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--topic", "activation-volums"], "did you mean 'activation-volumes'? (chainrule pr"),
        (["--topic", "qq"], "topic 'qq' is not known; topics: activation-volumes, "),
        (["--count", "0"], "count got 0, wants a whole number from 1"),
        (["--count", "0", "--json"], "count got 0, wants a whole number from 1"),
        (["--level", "9"], "level got 9, wants 1 (easy), 2 or 3"),
        (["--seed", "-3", "--json"], "seed got -3"),
        (["--question", "layer-volume:1"], "wants family:level:seed"),
        (["--question", "layer-volum:1:2"], "did you mean 'layer-volume'?"),
        (["--question", "layer-volume:7:2"], "level got 7, but family 'layer-volume' has 1, 2, 3"),
        (["export", "quiz.pdf"], "does not tell the format"),
        (["export", "quiz.md", "--students", "nobody.txt"], "students 'nobody.txt' cannot be read"),
        (["export", "quiz.md", "--count", "0"], "count got 0"),
        (["scores"], "no scores are kept in 'runs': chainrule practice makes the first"),
        (["--topic", "losses", "scores"], "--topic stands before scores, where it does nothing"),
        (["--question", "layer-volume:²:1"], "wants family:level:seed"),
        (["--question", "layer-volume:1:" + "9" * 5000], "wants family:level:seed"),
        (["check", "--topic", "x"], "topic 'x' is not known"),
    ],
)
def test_bad_input(tmp_path: Path, words: list[str], said: str) -> None:
    done = _typed(tmp_path, "", *words)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("quiz*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "has no name in it"), ("\n \n", "has no name in it"), ("Ada\nAda \n", "has 'Ada' twice")],
)
def test_classes_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "class.txt").write_text(text)
    done = _typed(tmp_path, "", "export", "quiz.md", "--students", "class.txt")
    assert done.returncode == 2
    assert said in done.stderr
