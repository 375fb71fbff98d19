"""Other people's tools, installed beside ours for a comparison in one run.

They go into folders of ``benchmarks/.rivals`` without their dependencies on torch, so that they
are all measured on the same torch as chainrule.
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
    target = str(_installed("looking", PACKAGES))
    if target not in sys.path:
        sys.path.append(target)


LOOPS = {
    "torchvision": ("torchvision==0.28.0",),
    "lightning": (
        *("torchvision==0.28.0", "pytorch-lightning==2.6.6", "torchmetrics==1.9.0"),
        *("lightning-utilities==0.15.3", "tqdm", "fsspec", "PyYAML", "packaging"),
    ),
    "skorch": ("torchvision==0.28.0", "skorch==1.4.0", "tabulate", "tqdm"),
    "keras": (
        *("keras==3.15.1", "absl-py", "rich", "namex", "h5py", "optree", "ml-dtypes", "packaging"),
        *("markdown-it-py", "mdurl", "pygments", "typing-extensions"),
    ),
}


def folder(name: str) -> Path:
    """Where the packages of one training loop are; each loop has its own."""
    return _installed(name, LOOPS[name])


def _installed(name: str, packages: tuple[str, ...]) -> Path:
    """A folder with these packages, made once."""
    target = FOLDER / name
    if not target.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(target), *packages], check=True)
    return target
