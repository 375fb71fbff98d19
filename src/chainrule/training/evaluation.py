"""Evaluation: loss, accuracy, confusion and mistakes of a network on one part of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.training.data.dataset import Dataset, Part
from chainrule.training.distributed import World
from chainrule.training.execution import Execution
from chainrule.training.result import Mistake

Loss = Callable[[Tensor, Tensor], Tensor]
_BATCH = 500


@dataclass(frozen=True)
class Evaluation:
    """A network's answers on one part.

    Attributes:
        loss: mean data loss (nats for softmax and bce).
        accuracy: share of right answers in [0, 1]; None for regression.
        scores: (N, K) float32 on the CPU.
    """

    loss: float
    accuracy: float | None
    scores: Tensor


def correct(scores: Tensor, labels: Tensor, task: str) -> Tensor:
    """Number of right answers in a minibatch, as a tensor of one element.

    Classification: highest score on the right class. Multilabel: mean over labels of
    "score above 0 where the label is 1, else below", summed over examples.

    Examples:
        >>> correct(torch.tensor([[1.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1]), "classification")
        tensor(1.)
    """
    if task == "multilabel":
        return ((scores > 0) == (labels > 0.5)).float().mean(1).sum()
    return (scores.argmax(1) == labels).float().sum()


def evaluate(
    module: nn.Module,
    dataset: Dataset,
    part: Part,
    loss: Loss,
    *,
    execution: Execution | None = None,
    flips: bool = False,
    here: World | None = None,
) -> Evaluation | None:
    """Scores of ``module`` on ``part`` in eval mode; None when the part is empty.

    The module's mode is put back afterwards; nothing else of it changes.

    Args:
        module: on the device of ``part``.
        dataset: whose statistics normalize.
        part: what to evaluate on.
        loss: data loss of scores (N, K) and targets.
        execution: how scores are computed; None: in float32.
        flips: mean of the scores of each image and its mirror image (Krizhevsky et al. 2012).
        here: this process, which computes its part of the scores and gets those of all.
    """
    if not len(part):
        return None
    here, how = here or World(), execution or Execution()
    mine, targets = here.part(len(part)), part.targets.to(dataset.mean.device)
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), how.arithmetic(dataset.mean.device):
            pieces = [_scores(module, one, how, flips) for one in _inputs(dataset, part, mine)]
            if len(pieces) < -(-here.most(len(part)) // _BATCH):
                for one in _inputs(dataset, part, slice(0, 1)):  # a sharded network makes as many
                    _scores(module, one, how, flips)  # passes in all processes
        none = torch.zeros((0, dataset.outputs), device=targets.device)
        scores = torch.cat(pieces) if pieces else none
        scores = here.gathered(scores, len(part))
        value = float(loss(scores, targets))
    finally:
        for child, training in modes:
            child.training = training
    accuracy = None
    if dataset.task != "regression":
        accuracy = float(correct(scores, targets, dataset.task)) / len(part)
    return Evaluation(value, accuracy, scores.cpu())


def _scores(module: nn.Module, inputs: Tensor, how: Execution, flips: bool) -> Tensor:
    scores: Tensor = module(how.lay_out(inputs)).float()
    if flips and inputs.dim() == 4:
        scores = (scores + module(how.lay_out(inputs.flip(3))).float()) / 2
    return scores


def _inputs(dataset: Dataset, part: Part, mine: slice) -> Iterator[Tensor]:
    for chunk in part.chunks(_BATCH, mine.start, mine.stop):
        yield dataset.normalize(chunk.to(dataset.mean.device))


def confusion_matrix(scores: Tensor, targets: Tensor) -> Tensor:
    """Counts (classes, classes): row = true class, column = class with the highest score.

    Examples:
        >>> confusion_matrix(torch.eye(2), torch.tensor([0, 0])).tolist()
        [[1, 1], [0, 0]]
    """
    classes = scores.shape[1]
    cells = targets * classes + scores.argmax(1)
    return torch.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def worst_mistakes(scores: Tensor, part: Part, count: int = 24) -> tuple[Mistake, ...]:
    """The misclassified images whose wrong class got the highest softmax probability."""
    probabilities, predicted = scores.softmax(1).max(1)
    targets = part.targets.cpu()
    wrong = (predicted != targets).nonzero().flatten()
    chosen = wrong[probabilities[wrong].argsort(descending=True, stable=True)][:count]
    return tuple(_mistake(int(index), part, predicted, probabilities) for index in chosen)


def _mistake(index: int, part: Part, predicted: Tensor, probabilities: Tensor) -> Mistake:
    image = part.inputs[index].cpu()
    scaled = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    return Mistake(
        index=index,
        image=scaled.numpy(),
        true=int(part.targets[index]),
        predicted=int(predicted[index]),
        probability=float(probabilities[index]),
    )
