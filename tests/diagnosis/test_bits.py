"""Looking must not touch: watched and unwatched scripts end in the same bits and say the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.reference.command_line import python

SCRIPTS = Path(__file__).parent / "scripts"
RUNS = {
    "plain": ["plain.py", "--lr", "0.05", "--steps", "4"],
    "convolutional": ["convolutional.py"],
    "accumulated": ["accumulated.py"],
    "mixed precision": ["mixed_precision.py"],
    "LBFGS": ["lbfgs.py"],
    "updates by hand": ["by_hand.py"],
    "own tensors": ["own_tensors.py"],
    "torch.func": ["functional.py"],
    "activation checkpointing": ["checkpointed.py"],
    "GAN": ["gan.py"],
    "compiled network": ["compiled.py"],
    "compiled loss": ["compiled.py", "function"],
    "compiled in place": ["compiled.py", "inplace"],
    "scripted": ["scripted.py"],
    "recurrent": ["recurrent.py"],
    "transformer": ["transformer.py"],
    "workers": ["workers.py"],
    "unusual": ["unusual.py"],
    "sparse": ["sparse.py"],
    "talker": ["talker.py"],
    "hydra-like": ["hydra_like.py", "seed=3", "lr=0.5"],
    "module": ["-m", "package.train"],
}
STEPS = {"plain": 32, "accumulated": 15, "LBFGS": 6, "torch.func": 30, "GAN": 40, "talker": 5}
WATCH = [sys.executable, "-m", "chainrule", "watch"]


LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"}


def run(command, timeout=300, **more):
    environment = {"OMP_NUM_THREADS": "1"} | more.pop("environment", {})
    if "talker.py" in command:  # which prints what is so in a Python of its own alone
        environment["PYTHONWARNINGS"] = "default"
    assert command[0] == sys.executable
    return python(
        ["-W", "default", *command[1:]],
        folder=SCRIPTS, typed="2.5\n", timeout=timeout, environment=environment, **more,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_watched_and_unwatched_end_in_the_same_bits(name, tmp_path):
    words, seen = RUNS[name], tmp_path / "seen.json"
    bare = run([sys.executable, *words])
    assert "digest" in bare.stdout, bare.stderr
    for share in ("0.02", "1"):  # as it is, and every step in full: the most that can disturb
        runs = str(tmp_path / "runs")
        watched = run([*WATCH, "--share", share, "--json", str(seen), "--runs", runs, *words])
        assert watched.stdout == bare.stdout, watched.stderr
        assert watched.returncode == bare.returncode
        assert "inside chainrule" not in watched.stderr
        found = json.loads(seen.read_text())
        assert found["steps"] == STEPS.get(name, found["steps"]) > 4
        assert found["sampled"] > 2


def test_the_digest_sees_a_single_bit(tmp_path):
    """The referee can say no: one random number drawn, or one weight moved, is another digest."""
    script = tmp_path / "touched.py"
    for change in ("torch.rand(1)", "net[0].weight.data[0, 0].add_(1e-6)"):
        text = (SCRIPTS / "plain.py").read_text().replace("report(net", f"{change}\n    report(net")
        script.write_text(f"import sys\nsys.path.insert(0, {str(SCRIPTS)!r})\n{text}")
        touched = run([sys.executable, str(script), "--lr", "0.05", "--steps", "4"])
        assert "digest" in touched.stdout, touched.stderr
        assert touched.stdout != run([sys.executable, *RUNS["plain"]]).stdout


def run_distributed(command, timeout=300):
    """Run two processes; again when gloo aborted at exit, which it does in a tenth of all runs."""
    for _ in range(5):
        done = run(command, timeout=timeout, environment=LOOPBACK)
        if "SIGABRT" not in done.stderr:
            break
    return done


@pytest.fixture(scope="module")
def torchrun():
    """Command that starts two processes; skips where processes cannot reach each other."""
    port = str(20000 + os.getpid() % 20000)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", port]
    try:
        bare = run_distributed([*command, "distributed.py"], timeout=100)
    except subprocess.TimeoutExpired:
        pytest.skip("torchrun cannot connect two processes on this machine: no answer in 100 s")
    if bare.stdout.count("digest") != 2:
        pytest.skip(f"torchrun cannot run two processes on this machine: {bare.stderr[-300:]}")
    return command, bare


@pytest.mark.slow
def test_two_processes_under_torchrun(torchrun, tmp_path):
    """Rank 0 reports; both processes end in the bits that they end in unwatched."""
    command, bare = torchrun
    seen, runs = tmp_path / "seen.json", str(tmp_path / "runs")
    watch = ["-m", "chainrule", "watch", "--runs", runs, "--json", str(seen)]
    watched = run_distributed([*command, *watch, "distributed.py"])
    assert sorted(watched.stdout.splitlines()) == sorted(bare.stdout.splitlines())
    found = json.loads(seen.read_text())
    assert found["steps"] == 20
    assert found["models"][0]["kind"] == "Sequential"
    assert len(found["layers"]) == 3
