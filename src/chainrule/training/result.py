"""TrainingResult: what a training run ended with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from chainrule.analysis.table import NetworkTable
from chainrule.answer import Answer
from chainrule.training.phases import StepProfile

Series = tuple[tuple[int, float], ...]  # (step, value) pairs in the order of the steps


@dataclass(frozen=True)
class Mistake(Answer):
    """One misclassified test image.

    Attributes:
        index: its position in the test part.
        image: (C, H, W) float32 in [0, 1], as loaded (not normalized).
        true: index of the right class.
        predicted: index of the class with the highest score.
        probability: softmax probability given to ``predicted``, in [0, 1].
    """

    index: int
    image: NDArray[Any]
    true: int
    predicted: int
    probability: float


@dataclass(frozen=True)
class TrainingResult(Answer):
    """What a run ended with: the numbers, the curves and what to look at.

    Attributes:
        run: the run's identifier in the store.
        folder: the run's folder (checkpoints and report).
        data: name of the data set.
        network: the network's text, zoo name or class.
        task: "classification", "multilabel" or "regression".
        parameters: number of trainable and frozen parameters.
        ended: "finished", "stopped" or "failed".
        reason: why it ended early, in one line ("" when it finished).
        steps: number of updates made, all sessions of the run together.
        epochs: number of whole passes over the training part.
        seconds: wall time spent in training steps, all sessions together (s).
        images_per_second: training examples per second of training time.
        test_accuracy: share of right answers on the test part, in [0, 1]; for multilabel the
            share of right labels; None for regression.
        test_loss: mean data loss on the test part (nats for softmax and bce).
        curves: series by name: "train/data_loss", "train/full_loss",
            "train/regularization_loss", "train/accuracy", "validation/loss",
            "validation/accuracy", "learning_rate", ... A series that was not recorded is absent.
        classes: names of the classes, or of the labels or target columns.
        confusion: (classes, classes) counts on the test part, row = true class,
            column = predicted class; None when the task is not classification.
        filters: (F, C, kh, kw) weights of the first convolution, or None.
        mistakes: some misclassified test images, the most confident first (may be empty).
        table: the network layer by layer.
        recipe: the validated recipe as plain values.
        profile: where the time of a step went, when that was asked for and there were enough.

    Examples:
        >>> import chainrule
        >>> result = chainrule.train("FC-10", epochs=1, runs=getfixture("tmp_path"))
        >>> result.steps, result.parameters, result.ended
        (20, 650, 'finished')
    """

    run: str
    folder: str
    data: str
    network: str
    task: str
    parameters: int
    ended: str
    reason: str
    steps: int
    epochs: int
    seconds: float
    images_per_second: float
    test_accuracy: float | None
    test_loss: float | None
    curves: dict[str, Series]
    classes: tuple[str, ...]
    confusion: NDArray[Any] | None
    filters: NDArray[Any] | None
    mistakes: tuple[Mistake, ...]
    table: NetworkTable
    recipe: dict[str, Any]
    profile: StepProfile | None = None

    def summary(self) -> dict[str, Any]:
        """The numbers alone, for ``--json`` and for comparing runs."""
        left_out = (
            "curves",
            "confusion",
            "filters",
            "mistakes",
            "table",
            "recipe",
            "classes",
            "profile",
        )
        return {name: value for name, value in self.to_dict().items() if name not in left_out}
