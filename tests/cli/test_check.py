"""``chainrule check``: verdict, culprit, exit codes, JSON, one-line errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

WRONG = """
import numpy as np
import torch


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * x ** 2


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        return Cube.apply(self.fc(x))  # here


def affine(x, w):
    return x @ w, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout


def huber(scores, targets):
    return torch.nn.functional.huber_loss(scores, targets)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "layers.py"
    path.write_text(WRONG)
    return path


def test_json_of_lenet5_has_what_is_promised() -> None:
    done = chainrule("check", "lenet5", "--json", "--sampled")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "correct"
    assert answer["culprit"] is None
    assert len(answer["tensors"]) == 11
    for row in answer["tensors"]:
        assert {"name", "max_relative_error", "verdict", "kinks"} <= set(row)
        assert row["max_relative_error"] < 1e-6


def test_a_wrong_backward_is_located_and_ends_with_1(file: Path) -> None:
    done = chainrule("check", f"{file}:Net", "--input", "4", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "wrong"
    culprit = answer["culprit"]
    assert (culprit["operation"], Path(culprit["file"])) == ("Cube", file)
    assert WRONG.splitlines()[culprit["line"] - 1].endswith("# here")
    told = chainrule("check", f"{file}:Net", "--input", "4")
    assert told.returncode == 1
    assert "0.6667 times what it should be" in told.stdout
    assert "layers.py" in told.stdout


def test_a_kink_ends_with_0_and_is_told() -> None:
    done = chainrule("check", "softmax", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "correct")


def test_numpy_pairs_functions_and_losses_of_a_file(file: Path) -> None:
    pair = chainrule("check", f"{file}:affine,affine_backward", "--input", "4,3", "--input", "3,2")
    assert pair.returncode == 0, pair.stderr
    loss = chainrule("check", "INPUT 4, FC-3", "--loss", f"{file}:huber")
    assert loss.returncode == 0, loss.stderr
    assert "targets for the loss are values drawn at random" in loss.stdout
    alone = chainrule("check", f"{file}:huber", "--input", "4,3", "--input", "4,3")
    assert alone.returncode == 0, alone.stderr


def test_penalty_and_second_order_are_shown_apart() -> None:
    done = chainrule(
        *("check", "INPUT 4, FC-3, TANH", "--weight-decay", "0.1", "--second-order"),
        *("--loss", "softmax"),
    )
    assert done.returncode == 0, done.stderr
    assert "penalty:" in done.stdout
    assert "second order:" in done.stdout
    assert "expected 1.099" in done.stdout


@pytest.mark.parametrize("width", ["80", "200"])
def test_nothing_is_cut_off_in_a_pipe(width: str) -> None:
    done = chainrule("check", "lenet5", "--sampled", COLUMNS=width)
    assert "…" not in done.stdout
    assert "conv1.weight" in done.stdout
    assert all(len(line) <= int(width) for line in done.stdout.splitlines())


BAD = {
    "typo": (("check", "lenet6"), "did you mean 'lenet5'"),
    "no file": (("check", "nowhere.py:Net", "--input", "4"), "nowhere.py"),
    "no inputs": (("check", "FILE:Cube"), "inputs"),
    "whole numbers": (("check", "FILE:Cube", "--input", "3:int64"), "whole numbers"),
    "method": (("check", "lenet5", "--method", "centred"), "did you mean 'central'"),
    "dtype": (("check", "lenet5", "--dtype", "half"), "float64"),
    "too large": (("check", "vgg11", "--exhaustive", "--input", "3,32,32"), "one by one"),
    "targets": (("check", "INPUT 4, FC-3", "--loss", "FILE:affine_backward"), "give targets"),
    "seconds": (("check", "lenet5", "--seconds", "0"), "above 0"),
    "loss": (("check", "lenet5", "--loss", "sofmax"), "did you mean 'softmax'"),
    "shape": (("check", "FILE:affine,affine_backward", "--input", "4,3", "--input", "2,2"),
              "affine"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line_and_end_with_2(name: str, file: Path) -> None:
    arguments, words = BAD[name]
    done = chainrule(*(item.replace("FILE", str(file)) for item in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr


def test_ctrl_c_is_quiet() -> None:
    environment = os.environ | {"COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", "check", "vgg16", "--input", "3,64,64"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
