"""Nothing of the user's is changed by what a script writes, and the script sees what it wrote."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def run(code: str, folder: Path, scratch: Path) -> str:
    """Run code in the sandbox, in a process of its own."""
    head = f"""
    import os, sys
    from chainrule.diagnosis.replaying.sandbox import Sandbox
    box = Sandbox({str(scratch)!r})
    os.makedirs({str(scratch)!r}, exist_ok=True)
    box.enter()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "kept.txt").write_text("as it was")
    (folder / "sub").mkdir()
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('new.txt', 'w').write('x'); print(open('new.txt').read())", "x"),
        ("open('kept.txt', 'a').write('!'); print(open('kept.txt').read())", "as it was!"),
        ("open('kept.txt', 'w').write('gone'); print(open('kept.txt').read())", "gone"),
        ("os.remove('kept.txt'); print(os.path.exists('kept.txt'))", "False"),
        ("os.rename('kept.txt', 'b'); print(os.path.exists('kept.txt'), open('b').read())",
         "False as it was"),
        ("os.makedirs('a/b/c'); open('a/b/c/d', 'w').write('1'); print(os.listdir('a/b/c'))",
         "['d']"),
        ("from pathlib import Path; Path('sub/x').write_text('hi'); "
         "print(sorted(p.name for p in Path('sub').iterdir()), Path('sub/x').read_text())",
         "['x'] hi"),
        ("open('new', 'w').close(); print(sorted(os.listdir('.')))", "['kept.txt', 'new', 'sub']"),
        ("import torch; torch.save({'a': 1}, 'w.pt'); print(torch.load('w.pt'))", "{'a': 1}"),
        ("import numpy as np; np.save('a.npy', np.ones(2)); print(np.load('a.npy').sum())", "2.0"),
        ("import sqlite3; c = sqlite3.connect('d.db'); c.execute('create table t (a)'); "
         "c.commit(); print(os.path.exists('d.db'))", "True"),
        ("import shutil; shutil.copy('kept.txt', 'copy.txt'); print(open('copy.txt').read())",
         "as it was"),
        ("import shutil; shutil.rmtree('sub'); print('ok')", "ok"),
        ("import tempfile; f = tempfile.NamedTemporaryFile('w'); f.write('x'); print('ok')", "ok"),
        ("import logging; logging.basicConfig(filename='run.log', level=20); "
         "logging.info('hello'); print('hello' in open('run.log').read())", "True"),
        ("\ntry:\n    open('nowhere/x', 'w')\nexcept FileNotFoundError:\n    print('no folder')",
         "no folder"),
        ("\ntry:\n    os.mkdir('sub')\nexcept FileExistsError:\n    print('there')", "there"),
    ],
)  # fmt: skip
def test_what_is_written_is_read_back_and_lands_elsewhere(
    code: str, said: str, home: Path, tmp_path: Path
) -> None:
    before = snapshot(home)
    assert run(code, home, tmp_path / "scratch") == said
    assert snapshot(home) == before


def test_the_net_below_refuses_what_goes_another_way(home: Path, tmp_path: Path) -> None:
    before = snapshot(home)
    said = run(
        """
        import posix
        try:
            posix.open('kept.txt', os.O_WRONLY | os.O_TRUNC)
        except PermissionError as error:
            print('refused')
        """,
        home, tmp_path / "scratch",
    )  # fmt: skip
    assert said == "refused"
    assert snapshot(home) == before


def test_layers_hide_what_others_wrote(home: Path, tmp_path: Path) -> None:
    said = run(
        """
        open('a', 'w').write('stage')
        if os.fork() == 0:
            box.layer('one')
            open('a', 'w').write('replay')
            os._exit(0)
        os.wait()
        print(open('a').read())
        """,
        home, tmp_path / "scratch",
    )  # fmt: skip
    assert said == "stage"
    assert not (home / "a").exists()
