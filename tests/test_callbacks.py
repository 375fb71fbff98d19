"""Trainings that a framework runs: watched by one line, the same bits, the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule import callbacks
from chainrule.errors import RecipeError, RunError

SCRIPTS = Path(__file__).parent / "frameworks"
DIGEST = str(Path(__file__).parent / "diagnosis" / "scripts")
FRAMEWORKS = ("lightning", "transformers", "skorch")


def run(name, how, folder):
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{name}_script.py"), how, str(folder / "out.json")],
        capture_output=True, text=True, cwd=folder, check=False, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": DIGEST},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_watched_in_one_line(name, tmp_path):
    bare, watched = (run(name, how, tmp_path) for how in ("bare", "watched"))
    digest = bare.stdout.splitlines()[-1]
    assert digest.startswith("digest ")
    assert watched.stdout.splitlines()[-1] == digest
    assert "findings; report: " in watched.stderr
    seen = json.loads((tmp_path / "out.json").read_text())
    assert seen["ended"] == "finished"
    assert seen["steps"] > 20
    assert seen["loss"]["function"] == "cross_entropy"
    assert Path(seen["report"]).exists()
    assert len(seen["layers"]) >= 3
    assert all(value > 0 for value in _noise(seen)), "gradients of two minibatches differ"


def _noise(seen):
    return [points[0][1] for name, points in seen["series"].items() if name.startswith("noise/")]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_without_the_framework_it_says_what_to_install(name, monkeypatch):
    for package in ("pytorch_lightning", "lightning", "transformers", "skorch"):
        monkeypatch.setitem(sys.modules, package, None)
        for loaded in [key for key in sys.modules if key.startswith(f"{package}.")]:
            monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.setitem(sys.modules, "skorch.callbacks", None)
    with pytest.raises(RunError, match=f"{name} is not installed.*pip install {name}"):
        getattr(callbacks, name)()


def test_a_framework_that_cannot_be_imported_is_not_called_missing(tmp_path, monkeypatch):
    for loaded in [key for key in sys.modules if key.partition(".")[0] == "skorch"]:
        monkeypatch.delitem(sys.modules, loaded)
    (tmp_path / "skorch").mkdir()
    (tmp_path / "skorch" / "__init__.py").write_text("")
    (tmp_path / "skorch" / "callbacks.py").write_text("import torch_of_another_time")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(RunError, match=r"skorch is installed.*'torch_of_another_time'"):
            callbacks.skorch()
    finally:
        sys.modules.pop("skorch", None)


def test_options_are_refused_before_the_training():
    with pytest.raises(RecipeError, match="share got 5"):
        callbacks.Session(share=5)


def test_a_training_that_was_broken_off_is_closed_by_the_next():
    session = callbacks.Session(runs=None)
    session.begin()
    first = session._watching
    session.begin()
    assert first.result.ended == "finished"
    session.end()
    session.end()
    assert session.result.steps == 0
