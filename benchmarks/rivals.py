"""Other people's tools, installed beside ours for a comparison in one run.

They go into ``benchmarks/.rivals`` without their dependencies on torch, so that all of them are
measured on the same torch as chainrule.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / ".rivals"
PACKAGES = (
    "torchinfo==1.8.0",
    *("fvcore==0.1.5.post20221221", "iopath", "yacs", "portalocker", "tabulate", "termcolor"),
    *("tqdm", "torchlens==2.36.1", "graphviz"),
    *("cockpit-for-pytorch==1.0.2", "backpack-for-pytorch==1.7.1", "json-tricks", "pandas"),
    *("seaborn", "einops", "unfoldNd", "pytz", "python-dateutil", "tzdata"),
    *("setuptools==75.8.0", "torchmortem==0.1.1", "plotly", "narwhals"),
)


def install() -> None:
    """Put the packages where ``sys.path`` finds them, once."""
    if not FOLDER.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(FOLDER), *PACKAGES], check=True)
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
