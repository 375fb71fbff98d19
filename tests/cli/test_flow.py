"""``chainrule flow``: networks with data, kept runs, table, JSON, page, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

LENET = "CONV5-6, TANH, AVGPOOL2, CONV3-16 p0, TANH, FC-84, TANH, FC-10"
RECURRENT = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.RNN(8, 16, batch_first=True), nn.Linear(16, 10)
        nn.init.orthogonal_(self.rnn.weight_hh_l0)
        self.rnn.weight_hh_l0.data.mul_(2)

    def forward(self, x):
        return self.fc(self.rnn(x.flatten(1, 2))[0][:, -1])
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow") / "runs"
    done = chainrule(
        *("train", "FC-16, RELU, FC-10", "--data", "digits", "--epochs", "2", "--quiet"),
        *("--update-rule", "adamw", "--learning-rate", "0.003", "--weight-decay", "0.01"),
        *("--runs", str(folder)),
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_json_has_every_statistic() -> None:
    done = chainrule("flow", LENET, "--data", "digits", "--examples", "64", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert [row["name"] for row in answer["layers"]] == [
        *("conv1", "tanh1", "avgpool1", "conv2", "tanh2", "flatten1", "fc1", "tanh3", "fc2"),
    ]
    assert (answer["examples"], answer["mode"], answer["loss"]) == (64, "training", "softmax")
    assert answer["update"] == "first step of sgd, learning rate 0.1"
    assert answer["findings"] == []
    for row in answer["layers"]:
        assert sum(row["histogram"]["counts"]) == 64 * _size(row["shape"])
        assert row["gradient_norm"] > 0
        assert row["jacobian"]["largest"] > 0
        assert (row["saturated"] is not None) == row["name"].startswith("tanh")
        assert (row["update_ratio"] is not None) == row["name"].startswith(("conv", "fc"))


def _size(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


@pytest.mark.parametrize("width", ["80", "200"])
def test_the_table_fits(width: str) -> None:
    done = chainrule("flow", "digits", "--data", "digits", "--examples", "32", COLUMNS=width)
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    assert all(len(line) <= int(width) for line in done.stdout.splitlines())
    assert "off for all 32 inputs" in " ".join(done.stdout.split())
    assert ("smallest" in done.stdout.splitlines()[0]) == (width == "200")


def test_a_page_is_written(tmp_path: Path) -> None:
    path = tmp_path / "flow.html"
    done = chainrule("flow", LENET, "--data", "digits", "--html", str(path), "--no-jacobians")
    assert (done.returncode, done.stderr) == (0, f"written: {path}\n")
    assert path.read_text().count("<svg") == 3


def test_a_run_brings_its_network_data_weights_and_update_rule(runs: Path) -> None:
    done = chainrule("flow", "last", "--runs", str(runs), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["network"].startswith("FC-16, RELU, FC-10 of run ")
    assert answer["update"] == "first step of adamw, learning rate 0.003"
    assert "weights at the end of run" in answer["notes"][-1]
    assert answer["loss_value"] < 2  # it has learned
    other = chainrule("flow", "last", "--runs", str(runs), "--update-rule", "sgd", "--json")
    assert json.loads(other.stdout)["update"] == "first step of sgd, learning rate 0.1"


def test_findings_are_told(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(RECURRENT)
    done = chainrule("flow", f"{file}:Net", "--data", "digits")
    assert done.returncode == 0, done.stderr
    assert "exploding-gradients" in done.stdout
    assert "spectral radius" in done.stdout
    deep = chainrule("flow", "[FC-32, SIGMOID] x 12, FC-10", "--data", "digits")
    assert "vanishing-gradients" in deep.stdout


def test_evaluation_mode() -> None:
    done = chainrule("flow", "digits", "--data", "digits", "--evaluation", "--no-jacobians")
    assert "in evaluation mode" in done.stdout


BAD = {
    "no data": (("lenet5",), "data are missing"),
    "typo": (("lenet6", "--data", "digits"), "did you mean 'lenet5'"),
    "data": (("FC-10", "--data", "digitz"), "digits"),
    "misfit": (("lenet5", "--data", "digits"), "conv2"),
    "run": (("1999", "--runs", "RUNS"), "1999"),
    "no runs": (("last", "--runs", "NOWHERE"), "NOWHERE"),
    "run and data": (("last", "--runs", "RUNS", "--data", "digits"), "leave it out"),
    "examples": (("FC-10", "--data", "digits", "--examples", "0"), "examples got 0"),
    "batch": (("FC-10", "--data", "digits", "--batch", "0"), "batch must be"),
    "loss": (("FC-10", "--data", "digits", "--loss", "sofmax"), "did you mean 'softmax'"),
    "rule": (("FC-10", "--data", "digits", "--update-rule", "adamm"), "did you mean 'adam'"),
    "rate": (("FC-10", "--data", "digits", "--learning-rate", "-1"), "learning_rate"),
    "page": (("FC-10", "--data", "digits", "--html", "NOWHERE/a.html"), "cannot be written"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line_and_end_with_2(name: str, runs: Path, tmp_path: Path) -> None:
    arguments, words = BAD[name]
    places = {"RUNS": str(runs), "NOWHERE": str(tmp_path / "NOWHERE")}
    given = [item.replace("NOWHERE", places["NOWHERE"]) for item in arguments]
    done = chainrule("flow", *(places["RUNS"] if item == "RUNS" else item for item in given))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
