"""``chainrule curvature``: networks and runs, JSON, the page, one-line errors."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

QUICK = ("FC-6, RELU, FC-10", "--data", "digits", "--examples", "96")


def test_json_is_the_whole_of_standard_output() -> None:
    done = chainrule("curvature", *QUICK, "--json", "--iterations", "30")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert (answer["parameters"], answer["examples"]) == (460, 96)
    assert answer["largest"]["value"] == pytest.approx(2 / answer["largest_stable_rate"])
    assert answer["noise"]["batch"] == 6
    assert "directions" not in answer
    assert answer["kinks"] == ["relu"]


def test_a_pipe_gets_plain_lines_and_the_page_its_pictures(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = chainrule("curvature", *QUICK, "--html", str(page), "--grid", "3", "--evaluation")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    for words in ("largest stable rate", "condition number", "noise scale", "weights as init"):
        assert words in done.stdout
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert text.count("<svg") == 2
    assert "<script" not in text
    assert "src=" not in text


def test_a_run_brings_its_network_data_and_weights(tmp_path: Path) -> None:
    kept = ("--runs", str(tmp_path))
    done = chainrule("train", "FC-10", "--limit", "200", "--epochs", "3", "--json", *kept)
    run = json.loads(done.stdout)["run"]
    answers = [
        json.loads(chainrule("curvature", name, "--json", "--iterations", "700", *kept).stdout)
        for name in ("last", run)
    ]
    assert answers[0]["loss"] == answers[1]["loss"] < math.log(10)
    assert answers[0]["examples"] == 200
    assert answers[0]["target"] == f"FC-10 of run {run}"
    assert f"weights at the end of run {run}" in answers[0]["notes"]
    assert answers[0]["sign"] == "singular"  # a shift of all scores changes nothing
    done = chainrule("curvature", run, "--data", "digits", *kept)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "brings its own" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lenet5",), "data are missing: add --data"),
        (("FC-10", "--data", "digit"), "did you mean 'digits'"),
        (("vgg61", "--data", "digits"), "no network 'vgg61'"),
        (("FC-9", "--data", "digits"), "the data want 10 scores"),
        (("FC-10", "--data", "digits", "--loss", "sofmax"), "loss"),
        (("FC-10", "--data", "digits", "--examples", "0"), "examples got 0"),
        (("FC-10", "--data", "digits", "--iterations", "0"), "iterations got 0"),
        (("FC-10", "--data", "digits", "--dtype", "float16"), "dtype got 'float16'"),
        (("last", "--runs", "nowhere"), "no runs are kept in 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = chainrule("curvature", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
