"""What recording, augmentation and saving cost: chainrule's loop against the bare step.

The bare step is the same network, update rule and minibatch size on one fixed minibatch, with
nothing recorded: the limit without any data work.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
import torch.nn.functional as F
from benchmarks.measure import alternate, ratio

import chainrule

REPEATS, EPOCHS, BATCH = 5, 4, 64


def measure() -> dict[str, Any]:
    """Ratio of training time at an equal number of steps on digits."""
    dataset = chainrule.load_data("digits")
    steps = EPOCHS * (len(dataset.train) // BATCH)

    def bare() -> None:
        module = chainrule.network("digits", input=dataset.input_shape, classes=10)
        optimizer = torch.optim.Adam(module.parameters(), fused=True)
        inputs = dataset.normalize(dataset.train.inputs[:BATCH])
        targets = dataset.train.targets[:BATCH]
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(module(inputs), targets).backward()
            optimizer.step()

    def ours() -> None:
        with tempfile.TemporaryDirectory() as runs:
            chainrule.train(
                "digits", dataset, runs=runs, epochs=EPOCHS, batch_size=BATCH, augment="crop,rotate"
            )

    seconds = alternate({"bare step": bare, "chainrule": ours}, REPEATS)
    return {"chainrule": ratio(seconds, "chainrule", "bare step"), "steps": steps}
