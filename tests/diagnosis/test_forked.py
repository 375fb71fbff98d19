"""Replays of one script draw the same random numbers, whoever they are drawn by."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from chainrule.diagnosis.replaying.crew import Crew
from chainrule.diagnosis.replaying.forked import fork
from chainrule.diagnosis.replaying.messages import BASELINE, REPLAY, ReplayJob
from chainrule.diagnosis.script import Script

LOOP = """
import random
import numpy as np
import torch
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(12):
    x = torch.tensor([random.random(), np.random.rand(), float(torch.rand(()))])
    optimizer.zero_grad()
    (net(x) - 1).square().mean().backward()
    optimizer.step()
"""


def drawn() -> str:
    return repr((random.random(), np.random.rand(), torch.rand(3).tolist()))


def test_a_fork_draws_what_its_parent_would_have() -> None:
    reader, writer = os.pipe()
    if fork() == 0:
        os.write(writer, drawn().encode())
        os._exit(0)
    os.wait()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read() == drawn()


@pytest.mark.slow
def test_replays_and_baseline_get_the_same_minibatches(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(LOOP)
    with Crew(Script(str(path)), jobs=2, deadline=time.perf_counter() + 60) as crew:
        key = crew.stage()
        crew.ready([key], 40)
        for role in (REPLAY, REPLAY, BASELINE):
            crew.plan(key, ReplayJob(0, role, steps=10, seconds=20.0, watched=10))
        first, *others = [outcome.totals for outcome in crew.run()]
    assert len(first) == 10
    assert others == [first, first]
