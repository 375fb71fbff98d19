"""Every example runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.training.recipe import load_recipe, make_recipe

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SHARED = ROOT.parent / "shared" / "data"


def _run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"CHAINRULE_DATA": str(SHARED)},
        check=False,
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_scripts(path: Path, tmp_path: Path) -> None:
    done = _run(str(path), str(tmp_path / "runs"), folder=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_recipes(path: Path, tmp_path: Path) -> None:
    recipe = make_recipe(load_recipe(path))
    if recipe.data not in ("digits",) and not (SHARED / recipe.data).is_dir():
        pytest.skip(f"the files of {recipe.data} are not here")
    arguments = ["train", "--recipe", str(path), "--limit", "200", "--epochs", "1", "--quiet"]
    done = _run("-m", "chainrule", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
