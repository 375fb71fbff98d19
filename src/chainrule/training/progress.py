"""Progress: the counters of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """The loop's counters: all that a checkpoint needs besides tensors.

    Attributes:
        step: updates made.
        epoch: epochs completed.
        minibatch: minibatches done of the epoch under way.
        loss_sum: sum of data loss x examples over the epoch under way.
        correct: right answers over the epoch under way.
        seen: examples seen in the epoch under way.
        seconds: training time so far (s).
        examples: examples seen so far.
        best_loss: best validation loss so far (early stopping).
        best: name of the checkpoint that holds the best weights.
        waited: epochs since then.
        scaler: state of the loss scaling (float16 alone).
    """

    step: int = 0
    epoch: int = 0
    minibatch: int = 0
    loss_sum: float = 0.0
    correct: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    examples: int = 0
    best_loss: float | None = None
    best: str | None = None
    waited: int = 0
    scaler: dict[str, Any] = field(default_factory=dict)
