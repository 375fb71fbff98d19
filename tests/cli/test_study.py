"""``chainrule study`` as a user meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

from chainrule.study.experiments import NAMES


def test_lists_what_there_is() -> None:
    done = chainrule("study")
    assert done.returncode == 0
    assert all(name in done.stdout for name in NAMES)
    listed = json.loads(chainrule("study", "--json").stdout)
    assert [name for name, _, _ in listed["experiments"]] == list(NAMES)


def test_prints_the_verdict_with_its_numbers() -> None:
    done = chainrule("study", "zero-input")
    assert done.returncode == 0
    assert re.search(r"^verdict +holds *$", done.stdout, re.MULTILINE)
    for word in ("claim", "hypothesis", "set-up", "measured", "wanted", "✓", "seed 0"):
        assert word in done.stdout


def test_sabotage_turns_the_verdict() -> None:
    done = chainrule("study", "zero-input", "--sabotaged")
    assert done.returncode == 0
    assert "does not hold" in done.stdout
    assert "every input is 1 instead of 0" in done.stdout


def test_json_and_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = chainrule("study", "zero-input", "--json", "--html", str(page))
    found = json.loads(done.stdout)
    assert found["verdict"]["kind"] == "holds"
    assert {part["status"] for part in found["parts"]} == {"holds"}
    text = page.read_text()
    assert "<svg" in text
    assert "<script" not in text
    assert f"written: {page}" in done.stderr


def test_json_is_json_where_something_never_ends() -> None:
    """Steps that are never reached are infinite, which JSON has no word for."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    done = chainrule("study", "minimum-and-saddle", "--json")
    found = json.loads(done.stdout, parse_constant=refuse)
    assert any(part["measured"]["value"] is None for part in found["parts"])


def test_several_on_one_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = chainrule("study", "zero-input", "receptive-field", "--html", str(page), "--json")
    assert [item["name"] for item in json.loads(done.stdout)["results"]] == [
        "zero-input", "receptive-field",
    ]  # fmt: skip
    assert page.read_text().count("<svg") >= 2


def test_same_seed_same_numbers() -> None:
    def parts(seed: str) -> object:
        return json.loads(chainrule("study", "zero-input", "--json", "--seed", seed).stdout)[
            "parts"
        ]

    assert parts("3") == parts("3")
    assert parts("3") != parts("4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zero-inptu"], "experiment 'zero-inptu' is not known; did you mean 'zero-input'?"),
        (["qqq"], "experiment 'qqq' is not known; chainrule study lists them"),
        (["zero-input", "--seed", "-1"], "seed got -1, wants a whole number"),
        (["zero-input", "--html", "/nowhere/x.html"], "cannot be written"),
    ],
)
def test_bad_input(words: list[str], said: str) -> None:
    done = chainrule("study", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
