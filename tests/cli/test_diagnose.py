"""``chainrule diagnose``: verdicts with proof, exit codes, nothing touched, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

BROKEN = Path(__file__).parents[2] / "examples" / "broken"
HEAD = """
import torch
import torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
x = torch.randn(600, 8)
y = (x[:, :3]).argmax(1)
net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
"""
LOOP = """
for epoch in range(20):
    for rows in torch.randperm(600).split(50):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
"""


@pytest.fixture
def script(tmp_path):
    def make(text, name="train.py"):
        path = tmp_path / name
        path.write_text(HEAD + text)
        return str(path)

    return make


def diagnosed(path, *words, seconds="60"):
    done = chainrule("diagnose", str(path), "--json", "-", "--quiet", "--seconds", seconds, *words)
    return done, json.loads(done.stdout) if done.stdout.startswith("{") else {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "causes", "lines"),
    [
        # the other three are like faults of tests/diagnosis/test_diagnose.py, which takes seconds
        ("predicts_the_mean.py", {"shapes-broadcast"}, {27}),
        ("two_at_once.py", {"gradients-not-cleared", "inputs-not-normalized"}, None),
        ("nan_after_a_while.py", {"learning-rate-too-high"}, {12}),
    ],
)
def test_broken_examples_are_named_and_proved(name, causes, lines):
    before = {path: path.read_bytes() for path in BROKEN.iterdir() if path.is_file()}
    done, answer = diagnosed(BROKEN / name, "--seeds", "2", seconds="100")
    assert done.returncode == 1, done.stderr
    assert answer["verdict"] == "faulty"
    assert {item["code"] for item in answer["causes"]} == causes, answer["reason"]
    assert {item["status"] for item in answer["causes"]} == {"proved"}
    assert lines is None or answer["causes"][0]["line"] in lines
    for item in answer["causes"]:
        evidence = item["evidence"]
        assert min(evidence["changed"]) > max(evidence["baseline"])
    assert all(held for _, held in answer["controls"])
    assert {path: path.read_bytes() for path in BROKEN.iterdir() if path.is_file()} == before


@pytest.mark.slow
def test_a_healthy_script_is_called_healthy(script, tmp_path):
    path = script("optimizer = torch.optim.Adam(net.parameters(), 1e-2)" + LOOP)
    done, answer = diagnosed(path)
    assert (done.returncode, answer["verdict"], answer["causes"]) == (0, "healthy", [])
    assert sorted(item.name for item in tmp_path.iterdir()) == ["train.py"]


MIXED = """
for epoch in range(20):
    for rows in torch.randperm(600).split(50):
        other = rows[torch.randperm(len(rows))]
        part = torch.distributions.Beta(0.5, 0.5).sample()
        scores = net(part * x[rows] + (1 - part) * x[other])
        loss = part * F.cross_entropy(scores, y[rows]) + (1 - part) * F.cross_entropy(
            scores, y[other])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
DISTURBED = """
for epoch in range(20):
    for rows in torch.randperm(600).split(50):
        other = rows[torch.randperm(len(rows))]
        optimizer.zero_grad()
        F.cross_entropy(net(x[rows] + x[other]), y[rows]).backward()
        optimizer.step()
"""


@pytest.mark.slow
def test_mixed_examples_are_measured_by_the_target_that_weighs_most(script):
    done, answer = diagnosed(script("optimizer = torch.optim.Adam(net.parameters(), 1e-2)" + MIXED))
    assert (done.returncode, answer["verdict"]) == (0, "healthy"), answer["reason"]


@pytest.mark.slow
def test_a_change_that_makes_the_measure_easier_is_no_cure(script):
    """Without mixing the minibatches are easier to answer, for the run unchanged as well."""
    path = script("optimizer = torch.optim.Adam(net.parameters(), 1e-2)" + DISTURBED)
    _, answer = diagnosed(path)
    assert "labels-misaligned" not in {item["code"] for item in answer["causes"]}, answer["reason"]


EVALUATED = """
x_new, y_new = torch.randn(300, 8), torch.randint(3, (300,))
with torch.no_grad():
    print((net(x_new).argmax(1) == y_new).float().mean())
"""


@pytest.mark.slow
def test_what_fails_on_all_it_is_evaluated_on_is_not_called_healthy(script):
    path = script("optimizer = torch.optim.Adam(net.parameters(), 1e-2)" + LOOP + EVALUATED)
    done, answer = diagnosed(path)
    assert (done.returncode, answer["verdict"]) == (3, "cannot-tell"), answer["reason"]
    assert "next to nothing of what it is evaluated on" in answer["reason"]


TWO = """
encoder, head = nn.Sequential(nn.Linear(8, 4), nn.Tanh()), nn.Linear(4, 3)
net = lambda given: head(encoder(given))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "codes"),
    [("head.parameters()", ["parameters-not-optimized"]),
     ("[*encoder.parameters(), *head.parameters()]", [])],
)  # fmt: skip
def test_two_networks_in_a_row(held, codes, script):
    path = script(f"{TWO}optimizer = torch.optim.Adam({held}, 1e-2)" + LOOP)
    _, answer = diagnosed(path)
    assert [item["code"] for item in answer["causes"]] == codes, answer["reason"]
    assert answer["verdict"] == ("faulty" if codes else "healthy")
    if codes:
        assert answer["causes"][0]["status"] == "proved"
        assert "[*encoder.parameters(), *head.parameters()]" in answer["causes"][0]["fix"]
        assert answer["causes"][0]["checked"] is True


@pytest.mark.slow
def test_a_fix_is_applied_once_it_has_learned(script, tmp_path):
    path = script("optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)" + LOOP)
    original = Path(path).read_text()
    done = chainrule("diagnose", path, "--apply", "--html", str(tmp_path / "out.html"),
                     "--seconds", "90")  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = " ".join(done.stdout.split())
    assert "learning-rate-too-low proved" in said
    assert "was run and learned" in said
    assert "changed" in done.stderr
    assert (tmp_path / "train.py.orig").read_text() == original
    assert "lr=1e-6" not in Path(path).read_text()
    page = (tmp_path / "out.html").read_text()
    assert "<svg" in page
    assert "learning-rate-too-low" in page


def test_what_a_script_writes_is_not_left_behind(script, tmp_path):
    text = """
import os
open("log.txt", "w").write("started")
os.makedirs("checkpoints", exist_ok=True)
optimizer = torch.optim.Adam(net.parameters(), 1e-2)
for step in range(120):
    rows = torch.randint(600, (50,))
    optimizer.zero_grad()
    F.cross_entropy(net(x[rows]), y[rows]).backward()
    optimizer.step()
    torch.save(net.state_dict(), f"checkpoints/{step}.pt")
    open("log.txt", "a").write(".")
"""
    path = script(text)
    with tempfile.TemporaryDirectory(prefix="t-") as scratch:
        done = chainrule("diagnose", path, "--seconds", "40", "--quiet", TMPDIR=scratch)
        assert done.returncode == 0, done.stderr
        assert list(Path(scratch).glob("chainrule-*")) == []
    assert sorted(item.name for item in tmp_path.iterdir()) == ["train.py"]


def test_a_temporary_folder_with_a_long_name(script, tmp_path):
    """A socket's path may have some hundred bytes, and a folder's may have more."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    done = chainrule("diagnose", script("print('hello')"), "--seconds", "20", TMPDIR=str(folder))
    assert done.returncode == 3, done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.py"], "script 'nowhere.py' does not exist"),
        ([], "script is missing"),
        (["--seconds", "1", "train.py"], "seconds got 1.0, wants a number, at least 5"),
        (["--seeds", "1", "train.py"], "seeds got 1, wants a whole number from 2 to 20"),
        (["--steps", "3", "train.py"], "steps got 3, wants a whole number, at least 10"),
        (["--jobs", "0", "train.py"], "jobs got 0, wants a number of processes, at least 1"),
        (["--json", "no/such/folder/x.json", "train.py"], "cannot be written"),
        (["--lerning", "train.py"], "option '--lerning' is not one of chainrule diagnose"),
    ],
)
def test_bad_input_is_refused_in_one_line(words, said, tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("print(1)\n")
    monkeypatch.chdir(tmp_path)
    done = chainrule("diagnose", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print('hello')\n", "ended without a training step"),
        ("raise RuntimeError('no GPU here')\n", "breaks down before its first step: RuntimeError"),
        ("import no_such_package\n", "No module named 'no_such_package'"),
        ("optimizer = 1\nnet(torch.randn(2, 9))\n", "breaks down"),
    ],
)
def test_scripts_that_do_not_train_are_told_so(text, said, script):
    done, answer = diagnosed(script(text), seconds="30")
    assert done.returncode == 3
    assert answer["verdict"] == "cannot-tell"
    assert said in answer["reason"]


@pytest.mark.slow
def test_what_breaks_late_is_replayed_from_shortly_before(script):
    path = script("""
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(1500):
    if step == 900:
        for group in optimizer.param_groups:
            group["lr"] = 80.0
    rows = torch.randint(600, (50,))
    optimizer.zero_grad()
    F.cross_entropy(net(x[rows]), y[rows]).backward()
    optimizer.step()
""")
    done, answer = diagnosed(path, "--steps", "100", "--seeds", "2", seconds="80")
    assert done.returncode == 1, answer["reason"]
    assert [item["code"] for item in answer["causes"]] == ["learning-rate-too-high"]
    late = [item for item in answer["replays"] if item["intervention"] == "learning rate x 0.01"]
    assert min(step for step, _ in late[0]["curve"]) > 100  # not from the beginning
    assert dict(answer["controls"])["an empty intervention changes nothing"]


@pytest.mark.slow
def test_an_interrupted_diagnosis_leaves_no_process(script, tmp_path):
    path = script("import time\noptimizer = torch.optim.SGD(net.parameters(), 0.1)\n"
                  "while True:\n    optimizer.zero_grad()\n"
                  "    F.cross_entropy(net(x), y).backward()\n    optimizer.step()\n")  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", "diagnose", path, "--seconds", "100"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(10)
    stages = _stages(process.pid)
    assert stages
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    deadline = time.time() + 10
    while _alive(stages) and time.time() < deadline:
        time.sleep(0.2)
    assert not _alive(stages)


def _stages(parent: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    return [int(word) for word in done.stdout.split()]


def _alive(pids: list[int]) -> bool:
    def alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"

    return any(alive(pid) for pid in pids)
