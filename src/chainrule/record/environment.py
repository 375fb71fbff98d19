"""Environment: which versions and which hardware a run was made with."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("chainrule", "torch", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a run's numbers.

    Examples:
        >>> sorted(versions())[:2]
        ['chainrule', 'numpy']
    """
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a source tree that is not installed
            found[package] = "unknown"
    return found


def hardware(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, threads, memory (bytes) and accelerator.

    Args:
        device: the device trained on, "cpu", "cuda:0", ...
    """
    import torch

    accelerator = None
    if device.startswith("cuda"):
        accelerator = torch.cuda.get_device_name(device)
    elif device != "cpu":
        accelerator = device
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": _memory(),
        "device": device,
        "accelerator": accelerator,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    """Physical memory in bytes, where the system tells it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
