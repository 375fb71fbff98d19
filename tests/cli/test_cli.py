"""The command line: exit codes, plain output in pipes, JSON, and errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

QUICK = ("FC-10", "--limit", "120", "--epochs", "2")


def test_json_is_the_whole_of_standard_output(tmp_path: Path) -> None:
    done = chainrule("train", *QUICK, "--json", "--runs", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    for key in ("test_accuracy", "run", "steps", "seconds", "images_per_second", "parameters"):
        assert key in answer
    assert answer["parameters"] == 650
    assert "epoch 2/2" in done.stderr


def test_a_pipe_gets_plain_lines(tmp_path: Path) -> None:
    done = chainrule("train", *QUICK, "--runs", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert "test accuracy" in done.stdout.lower()
    assert "report.html" in done.stdout
    assert (next(tmp_path.glob("*/report.html"))).stat().st_size > 10_000


def test_runs_are_listed_shown_compared_and_removed(tmp_path: Path) -> None:
    for rate in ("0.01", "0.001"):
        chainrule("train", *QUICK, "--learning-rate", rate, "--runs", str(tmp_path))
    folder = ("--runs", str(tmp_path))
    listed = json.loads(chainrule("runs", *folder, "--json").stdout)
    first, second = (run["id"] for run in listed["runs"])
    assert first in chainrule("runs", "list", *folder).stdout
    shown = chainrule("runs", "show", "last", *folder)
    assert second in shown.stdout
    page = tmp_path / "page.html"
    assert chainrule("runs", "show", first, "--html", str(page), *folder).returncode == 0
    assert page.read_text().startswith("<!doctype html>")
    compared = chainrule("runs", "compare", first, second, *folder)
    assert "learning_rate" in compared.stdout
    assert "0.001" in compared.stdout
    assert chainrule("runs", "remove", first, *folder).returncode == 0
    left = json.loads(chainrule("runs", *folder, "--json").stdout)
    assert [run["id"] for run in left["runs"]] == [second]
    assert not (tmp_path / first).exists()


def test_a_recipe_file_and_a_flag_that_goes_before_it(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('network = "FC-10"\nlimit = 120\nepochs = 7\n')
    done = chainrule(
        *("train", "--recipe", str(recipe), "--epochs", "1", "--json", "--runs", str(tmp_path))
    )
    assert json.loads(done.stdout)["epochs"] == 1


BAD = {
    "unknown command": (["trian"], ["'trian'", "train"]),
    "unknown flag": (["train", "--epoch", "3"], ["--epoch", "--epochs"]),
    "flag without a number": (["train", "--epochs", "many"], ["--epochs", "integer"]),
    "unknown layer": (["train", "CONV3-4, RELUU, FC-10"], ["line 1", "^", "RELU"]),
    "negative size": (["train", "CONV3--4, FC-10"], ["line 1", "^"]),
    "filter too large": (["train", "CONV11-4 p0, FC-10"], ["CONV11-4", "8x8"]),
    "unknown data": (["train", "--data", "mnits"], ["mnits", "mnist"]),
    "missing set": (["train", "--data", "mnist"], ["train-images-idx3-ubyte", "CHAINRULE_DATA"]),
    "unknown rule": (["train", "--update-rule", "adm"], ["update_rule", "adam"]),
    "contradiction": (["train", "--update-rule", "adam", "--momentum", "0.9"], ["momentum"]),
    "recipe file missing": (["train", "--recipe", "none.toml"], ["none.toml", "No such file"]),
    "no such run": (["train", "--resume", "nothing"], ["no runs are kept", "--runs"]),
    "nothing to list": (["runs"], ["chainrule train"]),
    "one run to compare": (["runs", "compare", "x"], ["two or more"]),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_one_clear_message_and_exit_code_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, fragments = BAD[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    done = chainrule(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3  # a caret needs two more lines
    for fragment in fragments:
        assert fragment in done.stderr
    assert list(tmp_path.glob("*/*/checkpoints")) == []


def test_an_unwritable_runs_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = chainrule("train", *QUICK, "--runs", str(file / "runs"))
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def test_divergence_is_exit_code_1(tmp_path: Path) -> None:
    done = chainrule(
        *("train", *QUICK, "--update-rule", "sgd", "--learning-rate", "1e38"),
        *("--schedule", "constant", "--runs", str(tmp_path)),
    )
    assert done.returncode == 1
    assert "--learning-rate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_full_disk_while_saving_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """The child may write no file above a limit, as on a disk that has just become full."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        "from chainrule.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", script, "train", "FC-2000, RELU, FC-10", "--limit", "120"),
            *("--runs", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("*/checkpoints/.*")) == []


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chainrule", "train", *QUICK, "--runs", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        error = child.stderr.read().decode()
        assert child.wait(timeout=60) == 0
    assert error == ""
    listed = json.loads(chainrule("runs", "--runs", str(tmp_path), "--json").stdout)
    assert "the reader of the output has gone" in listed["runs"][0]["reason"]


def test_help_and_version() -> None:
    assert "train" in chainrule("--help").stdout
    assert "--update-rule" in chainrule("train", "--help").stdout
    assert chainrule("--version").stdout.startswith("chainrule 0.")
    assert chainrule().returncode == 0
