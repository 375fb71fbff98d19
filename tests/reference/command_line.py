"""The command line as a user meets it: a process of its own, warnings as errors."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

WARM = Path(__file__).with_name("warm_python.py")
# read when Python or OpenMP start, which a forked process does no more
_AT_THE_START = ("PYTHON", "OMP_", "MKL_", "LD_")


def chainrule(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``chainrule`` with these arguments and wait for it."""
    words = ["-W", "error", "-m", "chainrule", *arguments]
    return python(words, environment={"COLUMNS": "100"} | environment)


def python(
    words: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    typed: str = "",
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """``python WORDS`` in a process of its own, forked from one that has imported PyTorch."""
    changed = environment or {}
    told = {name for name, value in changed.items() if os.environ.get(name) != value}
    if any(name.startswith(_AT_THE_START) for name in told):
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            input=typed,
            timeout=timeout,
            cwd=folder,
            env=os.environ | changed,
            check=False,
        )
    with tempfile.TemporaryDirectory() as scratch:
        streams = [Path(scratch, name) for name in ("in", "out", "err")]
        for path in streams:
            path.write_text(typed if path.name == "in" else "")
        status = _ask(
            {
                "words": list(words),
                "environment": dict(os.environ) | changed,
                "folder": str(folder or Path.cwd()),
                "streams": [str(path) for path in streams],
                "timeout": timeout,
            }
        )
        out, err = (path.read_text(errors="backslashreplace") for path in streams[1:])
    if status is None:
        raise subprocess.TimeoutExpired(list(words), timeout, out, err)
    return subprocess.CompletedProcess(list(words), status, out, err)


def _ask(told: dict[str, object]) -> int | None:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(told) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    assert answer, "the warm Python has gone"
    status: int | None = json.loads(answer)
    return status


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, str(WARM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(server.stdin.close)  # which ends it
    assert server.stdout.readline() == "ready\n"
    return server
