"""What a run was made with."""

from __future__ import annotations

import os

import torch

from chainrule.record.environment import hardware, versions


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["torch"] == torch.__version__
    assert {"python", "numpy", "chainrule", "platform"} <= set(found)


def test_hardware() -> None:
    found = hardware("cpu")
    assert found["cores"] == os.cpu_count()
    assert found["threads"] == torch.get_num_threads()
    assert found["memory"] > 2**28
    assert found["accelerator"] is None
