"""The command line as a user meets it: a process of its own, warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys


def chainrule(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``chainrule`` with these arguments and wait for it."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "chainrule", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "100"} | environment,
        check=False,
    )
