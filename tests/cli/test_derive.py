"""``chainrule derive``: text, files, networks, JSON, LaTeX, pages, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

EXAMPLE = Path(__file__).parents[2] / "examples" / "convnet_1d.txt"


def test_the_deck_s_exercise_from_one_command() -> None:
    done = chainrule("derive", str(EXAMPLE), "--given", "v1=delta1,v2=delta2", "--wrt", "z2,k1,b")
    assert (done.returncode, done.stderr) == (0, "")
    assert "z2 is read by v1, v2: the paths add up" in done.stdout
    assert "= delta1*1{z2 > z1, z2 > 0} + delta2*1{z2 > z3, z2 > 0}   =: e2" in done.stdout
    assert "proved" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_has_what_is_promised() -> None:
    done = chainrule("derive", "z = w*x; L = (z - y)^2/2", "--values", "w=2,x=3,y=1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    made = json.loads(done.stdout)
    assert made["gradients"]["w"] == made["gradients"]["w"] | {"formula": "(z - y)*x", "value": 15}
    assert "latex" in made["gradients"]["w"]
    assert made["proof"]["points"] == 5
    assert made["proof"]["largest_difference"] < 1e-10


def test_arrays_as_values_and_an_update() -> None:
    done = chainrule(
        *("derive", "X: (2, 2); w: (2); L = sum((X @ w)^2)", "--wrt", "w"),
        *("--values", "X=[[1,2],[3,4]],w=[1,-1]", "--update", "sgd", "--learning-rate", "0.01"),
    )
    assert done.returncode == 0, done.stderr
    assert "[-8, -12]" in done.stdout
    assert "[1.08, -0.88]" in done.stdout


def test_a_network_in_the_names_of_its_layers() -> None:
    done = chainrule("derive", "--network", "INPUT 5, CONV1D3-1 p0, POOL1D2/1, RELU, FC-1")
    assert done.returncode == 0, done.stderr
    assert "dL/dW_conv1" in done.stdout
    assert "pool1 is read by relu1" in done.stdout


def test_latex_and_a_page(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    done = chainrule("derive", str(EXAMPLE), "--wrt", "k1", "--latex", "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(r"\begin{align*}") == done.stdout.count(r"\end{align*}") > 3
    assert r"\frac{\mathrm{d} L}{\mathrm{d} z_{2}}" in done.stdout
    text = page.read_text()
    assert "<math" in text
    assert "<svg" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


BAD = {
    "nothing": (("derive",), "wants equations"),
    "both": (("derive", "L = x", "--network", "lenet5"), "both"),
    "no file": (("derive", "nowhere.txt"), "no file"),
    "typo": (("derive", "L = tahn(x)"), "did you mean 'tanh'"),
    "wrt": (("derive", "L = w*x", "--wrt", "q"), "wrt got 'q'"),
    "given": (("derive", "L = w*x", "--given", "v"), "name=value"),
    "twice": (("derive", "L = w*x", "--values", "w=1,w=2"), "twice"),
    "network": (("derive", "--network", "lenet6"), "did you mean 'lenet5'"),
    "input": (("derive", "--network", "CONV3-2, FC-2", "--input", "a,b"), "wants sizes"),
    "loss": (("derive", "--network", "INPUT 4, FC-2", "--loss", "nll"), "wants one of"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line_and_end_with_2(name: str) -> None:
    arguments, words = BAD[name]
    done = chainrule(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == (3 if len(lines) > 1 else 1)  # a caret takes two more
    assert "Traceback" not in done.stderr
