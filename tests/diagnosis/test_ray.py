"""Replays on a local Ray cluster of two workers; skipped where Ray is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import chainrule
from chainrule.errors import RecipeError

pytest.importorskip("ray")

SCRIPT = """
import torch
import torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
x = torch.randn(600, 8)
y = x[:, :3].argmax(1)
net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
for step in range(200):
    rows = torch.randint(600, (50,))
    optimizer.zero_grad()
    F.cross_entropy(net(x[rows]), y[rows]).backward()
    optimizer.step()
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Ray itself
def test_replays_as_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    address = ray.get_runtime_context().gcs_address
    try:
        answer = chainrule.diagnose(path, ray=address, seconds=100)
    finally:
        ray.shutdown()
    assert [item.code for item in answer.causes] == ["learning-rate-too-low"], answer.reason
    assert sorted(item.name for item in tmp_path.iterdir()) == ["train.py"]


def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    with pytest.raises(RecipeError, match="wants host:port of a cluster"):
        chainrule.diagnose(path, ray="127.0.0.1:1", seconds=30)
