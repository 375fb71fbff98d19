"""``chainrule watch``: the script's output, code and signals, ours beside it, one-line errors."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "examples" / "mnist_like.py")
HEAD = """
import sys
import torch
import torch.nn.functional as F
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(96, 4), torch.arange(96) % 3
def step():
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
"""


@pytest.fixture
def script(tmp_path):
    """Makes a script of the usual beginning and what is given."""

    def make(text, head=HEAD):
        path = tmp_path / "train.py"
        path.write_text(head + text)
        return str(path)

    return make


def watch(*words, folder):
    return chainrule("watch", "--runs", str(folder / "runs"), *words)


def test_shown_by(tmp_path):
    """The command of the README, its numbers, and the weights that the script has without it."""
    bare = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=True)
    done = watch(EXAMPLE, "--json", str(tmp_path / "out.json"), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, bare.stdout), done.stderr
    assert "sum of all weights" in done.stdout
    said = " ".join(done.stderr.split())
    assert "learning rate 0.003 to 0.0015" in said, "of the steps; the last halving is used by none"
    seen = json.loads((tmp_path / "out.json").read_text())
    assert (seen["steps"], seen["ended"], seen["findings"]) == (144, "finished", [])
    assert (seen["loss"]["function"], seen["loss"]["place"]["line"]) == ("cross_entropy", 56)
    assert (seen["optimizers"][0]["name"], seen["optimizers"][0]["scheduler"]) == ("Adam", "StepLR")
    assert [layer["name"] for layer in seen["layers"]][:2] == ["conv1", "relu"]
    assert len(seen["series"]["train/loss"]) == 144
    last = re.findall(r"loss (\d\.\d+)", done.stdout)[-1]
    assert seen["series"]["train/loss"][-1][1] == pytest.approx(float(last), abs=1e-4)
    assert Path(seen["report"]).read_text().startswith("<!doctype html>")


def test_json_on_standard_output_stands_behind_the_scripts_own(script, tmp_path):
    done = watch("--quiet", "--json", "-", script("step(); print('mine'); step()"), folder=tmp_path)
    mine, ours = done.stdout.splitlines()
    assert (mine, done.stderr) == ("mine", "")
    assert json.loads(ours)["steps"] == 2


def test_quiet_says_nothing(script, tmp_path):
    done = watch("--quiet", script("for _ in range(200): net[0].bias.data -= 50; step()"),
                 folder=tmp_path)  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_findings_arise_with_their_numbers(script, tmp_path):
    text = "net[0].bias.data.fill_(-50.0)\nfor _ in range(200): step()"
    done = watch(script(text), folder=tmp_path)
    line = next(item for item in done.stderr.splitlines() if "chainrule: dead-relu" in item)
    assert "8 of 8 units" in line
    assert done.stdout == ""


CODES = {
    "an exit code": ("step(); sys.exit(7)", 7, ""),
    "an exit message": ("step(); sys.exit('that was it')", 1, "that was it\n"),
    "a crash": ("step(); {}['lost']", 1, "KeyError: 'lost'\n"),
}


@pytest.mark.parametrize("name", CODES)
def test_exit_codes_are_the_scripts_own(name, script, tmp_path):
    text, code, words = CODES[name]
    path = script(text)
    bare = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    done = watch("--quiet", path, folder=tmp_path)
    assert (done.returncode, done.stdout) == (code, bare.stdout)
    assert words in done.stderr
    assert done.stderr == bare.stderr, "the traceback is Python's own, line by line"


def test_a_crash_is_told_with_the_shapes_at_the_network(script, tmp_path):
    done = watch(script("step(); net(torch.randn(5, 7))"), folder=tmp_path)
    assert done.returncode == 1
    assert "mat1 and mat2 shapes cannot be multiplied" in done.stderr
    assert "broke down in" in done.stderr
    assert "net.0 = Linear(in_features=4, out_features=8" in " ".join(done.stderr.split())
    assert "(5, 7)" in done.stderr


def test_ctrl_c_ends_the_script_as_it_would_alone(script, tmp_path):
    text = "step(); print('ready', flush=True)\nwhile True: step(); time.sleep(.01)"
    path = script(f"import time\n{text}")
    command = [sys.executable, "-m", "chainrule", "watch", "--runs", str(tmp_path / "runs"),
               "--json", str(tmp_path / "out.json"), path]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    seen = json.loads((tmp_path / "out.json").read_text())
    assert seen["ended"] == "stopped"
    assert seen["steps"] > 5


def test_on_a_terminal_there_is_a_status_line_that_goes_away(script, tmp_path):
    path = script("import time\nfor _ in range(60): step(); time.sleep(.02)\nprint('done')")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "chainrule", "watch", "--runs", str(tmp_path / "runs"),
               "--share", "1", path]  # fmt: skip
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs,
                               env=os.environ | {"TERM": "xterm"})  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    assert process.wait(60) == 0
    text = said.decode()
    assert re.search(r"chainrule  step \d+  loss [\d.]+  [\d.,]+ steps/s", text)
    assert "\x1b[r" in text, "the last row is given back"
    assert "done" in text


def test_tensorboard_has_the_same_numbers(script, tmp_path):
    done = watch("--tensorboard", str(tmp_path / "tb"), "--json", str(tmp_path / "out.json"),
                 script("for _ in range(12): step()"), folder=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path / "tb"))
    found.Reload()
    seen = json.loads((tmp_path / "out.json").read_text())["series"]
    assert set(found.Tags()["scalars"]) == set(seen)
    for name, points in seen.items():
        events = [(item.step, item.value) for item in found.Scalars(name)]
        assert events == [(step, pytest.approx(value, rel=1e-6)) for step, value in points]


def test_without_tensorboard_it_says_what_to_install(script, tmp_path):
    hidden = tmp_path / "hidden" / "tensorboard"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('as if it were not installed')")
    done = chainrule(
        *("watch", "--runs", str(tmp_path / "runs"), "--tensorboard", str(tmp_path / "tb")),
        script("step()"), PYTHONPATH=str(hidden.parent),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: tensorboard is not installed: pip install tensorboard, or leave --tensorboard out\n"
    )


def test_options_behind_the_script_are_ours_unless_it_has_them(script, tmp_path):
    text = "print(sys.argv[1:]); step()\n# an option of its own: "
    done = watch(script(text), "--lr", "3", "--steps", "5", "--quiet", "--", "--json",
                 folder=tmp_path)  # fmt: skip
    assert done.stdout == "['--lr', '3', '--json']\n"
    own = script("OPTION = '--steps'\nprint(sys.argv[1:]); step()")
    done = watch(own, "--steps", "5", "--quiet", folder=tmp_path)
    assert done.stdout == "['--steps', '5']\n"


REFUSED = {
    "no script": ((), "script is missing: name a Python file that trains, or -m MODULE"),
    "no such script": (("trian.py",), "script 'trian.py' does not exist"),
    "a folder": (("{tmp}",), "is a folder: name the file in it that trains"),
    "no such module": (("-m", "no.such"), "module 'no.such' cannot be found"),
    "an unknown option": (("--lod", "x.py"), "option '--lod' is not one of chainrule watch"),
    "a share": (("--share", "3", "{script}"), "share got 3.0, wants a number in (0, 1]"),
    "steps": (("--steps", "0", "{script}"), "steps must be a whole number of at least 1, got 0"),
    "seconds behind": (("{script}", "--seconds", "ten"), "seconds got 'ten', wants a number"),
    "json into nowhere": (("--json", "{tmp}/no/out.json", "{script}"), "cannot be written"),
    "a store that is a file": (("--runs", "{script}", "{script}"), "cannot be made"),
    "a notebook": (("{tmp}/a.ipynb",), "is a notebook: put 'with chainrule.watch():' around"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(name, script, tmp_path):
    words, message = REFUSED[name]
    (tmp_path / "a.ipynb").write_text("{}")
    path = script("print('it ran'); step()")
    words = [word.format(tmp=tmp_path, script=path) for word in words]
    done = watch(*words, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), "refused before the script runs"
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


WITHOUT = {
    "no training at all": ("print('hello')", 2, "ended after", "0 networks called"),
    "no step": ("F.cross_entropy(net(x), y).backward()", 2, "ended after", "backward() called"),
    "out before the first step": ("net(x); sys.exit(3)", 3, "ended after", "1 network called"),
    "a crash before the first step": ("net(1)", 1, "broke down (TypeError)", "backward() never"),
    "a device that is not there": ("net.to('cuda:7')", 1, "broke down", "0 networks"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_script_without_training(name, script, tmp_path):
    text, code, ending, seen = WITHOUT[name]
    done = watch(script(text), folder=tmp_path)
    assert done.returncode == code, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: script ")
    assert "without a training step" in line
    assert ending in line
    assert seen in line
    assert "chainrule waits for loss.backward() and an update" in line
    assert not (tmp_path / "runs").exists(), "nothing is left of a watch that saw nothing"


def test_steps_without_any_gradient(script, tmp_path):
    done = watch(script("for _ in range(3): net(x); optimizer.step()"), folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    found, line = done.stderr.splitlines()
    assert "chainrule: graph-detached" in found
    assert line.startswith("error: script ")
    assert "made 3 optimizer steps and no gradient was ever computed: backward() nev" in line


def test_gradients_set_by_hand_are_gradients(script, tmp_path):
    text = """
for _ in range(5):
    for item in net.parameters():
        item.grad = torch.randn_like(item)
    optimizer.step()"""
    done = watch(script(text), folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_script_is_compiled_as_python_compiles_it(script, tmp_path):
    """Nothing of chainrule's own, future imports for one, gets into it."""
    text = """
from dataclasses import dataclass, fields
@dataclass
class Settings:
    rate: float = 0.1
print([item.type for item in fields(Settings)], sorted(name for name in globals() if "__" in name))
step()"""
    path = script(text)
    bare = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    done = watch("--quiet", path, folder=tmp_path)
    assert done.stdout == bare.stdout
    assert "<class 'float'>" in done.stdout


def test_a_syntax_error_looks_as_python_shows_it(script, tmp_path):
    path = script("step(")
    bare = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    done = watch(path, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(bare.stderr)
    assert "chainrule/" not in done.stderr


def test_our_words_do_not_go_through_streams_that_the_script_has_put_in_place(script, tmp_path):
    text = """
class Loud:
    def __init__(self, stream): self.stream = stream
    def write(self, text): return self.stream.write(text.upper())
    def flush(self): self.stream.flush()
sys.stderr = Loud(sys.stderr)
step(); step()"""
    done = watch(script(text), folder=tmp_path)
    assert str(tmp_path / "runs") in done.stderr.replace("\n", "").replace(" ", "")


def test_a_script_that_closes_its_output_is_reported_all_the_same(script, tmp_path):
    text = "step(); step()\nprint('mine', flush=True)\nsys.stdout.close()"
    done = watch("--json", str(tmp_path / "out.json"), script(text), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["steps"] == 2


def test_a_watched_run_is_one_of_the_runs(script, tmp_path):
    watch("--quiet", script("for _ in range(9): step()"), folder=tmp_path)
    runs = ("--runs", str(tmp_path / "runs"))
    done = chainrule("runs", "show", "last", *runs)
    assert done.returncode == 0, done.stderr
    assert "first_loss" in done.stdout
    for words in (("flow", "last"), ("train", "--resume", "last")):
        done = chainrule(*words, *runs)
        assert (done.returncode, done.stdout) == (2, "")
        assert "was watched, not trained by chainrule" in done.stderr
        assert done.stderr.count("\n") == 1
