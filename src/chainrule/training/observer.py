"""Observer: who looks on while a run trains (a progress bar, plain lines, nobody)."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.analysis.table import NetworkTable


@dataclass(frozen=True)
class Start:
    """What is known before the first step.

    Attributes:
        run: the run's identifier.
        table: the network layer by layer.
        data: name of the data set.
        examples: sizes of the train, validation and test parts.
        step: updates already made (above 0 when resumed).
        steps: updates of the whole run.
        epochs: epochs of the whole run.
        execution: how steps are computed, in a line.
        processes: number of processes that train together.
    """

    run: str
    table: NetworkTable
    data: str
    examples: tuple[int, int, int]
    step: int
    steps: int
    epochs: int
    execution: str = ""
    processes: int = 1


@dataclass(frozen=True)
class EpochReport:
    """What an epoch ended with.

    Attributes:
        epoch: its number, from 1.
        step: updates made so far.
        data_loss: mean training data loss over the epoch.
        accuracy: share of right answers on the (augmented) minibatches; None for regression.
        validation_loss: mean data loss on the validation part, None without one.
        validation_accuracy: share of right answers on it.
        seconds: training time of the run so far (s).
    """

    epoch: int
    step: int
    data_loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


class Observer:
    """Looks on and does nothing; override what you want to see."""

    def choosing(self, seconds: float) -> None:
        """How a step is fastest is about to be measured, for at most so many seconds."""

    def started(self, start: Start) -> None:
        """The run is about to make its first step."""

    def stepped(self, step: int, data_loss: float) -> None:
        """One update was made."""

    def epoch_ended(self, report: EpochReport) -> None:
        """One epoch was completed."""

    def ended(self) -> None:
        """The run has ended, in whatever way."""
