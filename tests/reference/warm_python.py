"""Python with the slow imports already made, which forks for every command it is given.

A test of the command line wants a process of its own, not the two seconds that PyTorch takes to
be imported. Reads a JSON line per command and answers with one: the exit status.

    python warm_python.py
    {"words": ["-m", "chainrule", "--version"], "environment": {...}, "folder": "/tmp",
     "streams": ["/tmp/in", "/tmp/out", "/tmp/err"], "timeout": 120}
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

# nothing of chainrule, which is to be imported as it is for a user
IMPORTS = ("torch", "numpy", "scipy", "sklearn.datasets", "pydantic", "typer", "rich.console")


def main() -> None:
    """Serve until standard input ends."""
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        process = os.fork()
        if not process:
            become(told)
            return
        print(json.dumps(waited(process, told["timeout"])), flush=True)


def become(told: dict[str, Any]) -> None:
    """Do in this process what ``python WORDS`` would."""
    os.setsid()
    modes = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)
    for number, (path, mode) in enumerate(zip(told["streams"], modes, strict=True)):
        os.dup2(os.open(path, mode), number)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    # open for as long as the process lives
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    words = list(told["words"])
    while words[:1] == ["-W"]:
        sys.warnoptions.append(words[1])
        warnings.simplefilter(words[1])
        del words[:2]
    if words[0] == "-m":
        sys.path[0], sys.argv = told["folder"], words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(told["folder"], words[0]).parent), words
        runpy.run_path(words[0], run_name="__main__")


def waited(process: int, seconds: float) -> int | None:
    """The exit status, as ``subprocess`` gives it; None when it took too long and was killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


if __name__ == "__main__":
    main()
