"""How quickly the command line answers: ``chainrule --help`` against its bare libraries.

Aim: under 1.5 times ``python -c "import typer, rich"``.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from benchmarks.measure import alternate, ratio

REPEATS = 40


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def measure() -> dict[str, Any]:
    """Ratios of wall time, whole processes, alternating."""
    seconds = alternate(
        {
            "import typer, rich": lambda: _run("-c", "import typer, rich"),
            "chainrule --help": lambda: _run("-m", "chainrule", "--help"),
            "import chainrule": lambda: _run("-c", "import chainrule"),
        },
        REPEATS,
    )
    base = "import typer, rich"
    return {name: ratio(seconds, name, base) for name in seconds if name != base}
