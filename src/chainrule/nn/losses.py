"""Data losses by name: what PyTorch has is used from PyTorch, the multiclass SVM is added.

Every loss takes ``scores`` (N, C), the raw outputs of the network, and ``targets``; every one
passes ``check_loss_inputs`` before it computes, so that nothing broadcasts quietly. The mean
over an empty minibatch is nan, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.nn.guard import check_choice, check_loss_inputs, check_share, check_size

REDUCTIONS = ("mean", "sum", "none")
MARGIN_REMEDY = "1 is customary"


def svm_loss(
    scores: Tensor,
    targets: Tensor,
    margin: float = 1.0,
    squared: bool = False,
    reduction: str = "mean",
    *,
    check: bool = True,
) -> Tensor:
    """Multiclass SVM loss of Weston and Watkins: every wrong class keeps its distance.

    For one example with scores s and class y::

        L(y) = sum over j != y of max(0, s_j - s_y + margin)

    and with ``squared`` the square of each term. At the kink (a term of exactly 0) the
    subgradient is 0. PyTorch's ``multi_margin_loss`` is this divided by C.

    With class probabilities t (as mixup makes them) it is the expected loss
    ``sum over y of t_y L(y)``, for which a volume of N x C x C is held in memory.

    Args:
        scores: (N, C) raw scores, in units of the margin.
        targets: (N,) int64 class numbers in [0, C), or (N, C) class probabilities.
        margin: the distance wanted between the right score and every other; above 0.
        squared: squared hinge instead of hinge.
        reduction: ``"mean"`` or ``"sum"`` over the N examples, or ``"none"`` for shape (N,).
        check: also check that the values of ``targets`` are in range.

    Raises:
        ShapeError: scores and targets do not fit.
        DataError: targets of the wrong dtype or out of range.
        RecipeError: unknown ``reduction``, or ``margin`` not above 0.

    Source: J. Weston and C. Watkins, Support vector machines for multi-class pattern
    recognition, ESANN 1999.

    Examples:
        >>> scores = torch.tensor([[3.0, 5.0, -2.0]])
        >>> svm_loss(scores, torch.tensor([0]))  # max(0, 5 - 3 + 1) + max(0, -2 - 3 + 1)
        tensor(3.)
        >>> svm_loss(scores, torch.tensor([0]), squared=True)
        tensor(9.)
    """
    check_size("margin", margin, MARGIN_REMEDY)
    check_choice("reduction", reduction, REDUCTIONS)
    scores, targets = check_loss_inputs(scores, targets, "distribution", check)
    if targets.is_floating_point():
        losses = (targets * _losses_of_all_classes(scores, margin, squared)).sum(dim=1)
    else:
        losses = _losses_of_class(scores, targets, margin, squared)
    return _reduce(losses, reduction)


class SVMLoss(nn.Module):
    """``svm_loss`` as a module; see there for the formula and the arguments.

    Shapes: scores (N, C) and targets (N,) int64 or (N, C) probabilities, to a scalar, or to
    (N,) with ``reduction="none"``.

    Raises:
        RecipeError: unknown ``reduction``, or ``margin`` not above 0.

    Examples:
        >>> SVMLoss(squared=True)(torch.tensor([[3.0, 5.0, -2.0]]), torch.tensor([0]))
        tensor(9.)
    """

    def __init__(
        self,
        margin: float = 1.0,
        squared: bool = False,
        reduction: str = "mean",
        *,
        check: bool = True,
    ) -> None:
        super().__init__()
        self.margin = check_size("margin", margin, MARGIN_REMEDY)
        self.squared = squared
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self.check = check

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        return svm_loss(
            scores, targets, self.margin, self.squared, self.reduction, check=self.check
        )

    def extra_repr(self) -> str:
        return f"margin={self.margin}, squared={self.squared}, reduction={self.reduction!r}"


def softmax_loss(
    scores: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, check: bool = True
) -> Tensor:
    """Cross-entropy of the softmax of the scores, in nats, the mean over the N examples.

    For one example: ``-sum over k of t_k log softmax(s)_k``, with t one-hot for a class number.

    Args:
        scores: (N, C) raw scores (logits).
        targets: (N,) int64 class numbers in [0, C), or (N, C) class probabilities.
        label_smoothing: e in [0, 1]; t becomes (1 - e) t + e / C.
        check: also check that the values of ``targets`` are in range.

    Raises:
        ShapeError, DataError: as ``check_loss_inputs``.
        RecipeError: ``label_smoothing`` outside [0, 1].

    Examples:
        >>> softmax_loss(torch.zeros(4, 10), torch.tensor([0, 1, 2, 3]))  # log 10
        tensor(2.3026)
    """
    check_share("label_smoothing", label_smoothing, "use 0 for none, 0.1 is customary")
    scores, targets = check_loss_inputs(scores, targets, "distribution", check)
    return F.cross_entropy(scores, targets, label_smoothing=label_smoothing)


def squared_hinge_loss(scores: Tensor, targets: Tensor, *, check: bool = True) -> Tensor:
    """``svm_loss`` with each hinge squared, margin 1, the mean over the N examples.

    Shapes and errors as ``svm_loss``.

    Examples:
        >>> squared_hinge_loss(torch.tensor([[3.0, 5.0, -2.0]]), torch.tensor([0]))
        tensor(9.)
    """
    return svm_loss(scores, targets, squared=True, check=check)


def mse_loss(scores: Tensor, targets: Tensor, *, check: bool = True) -> Tensor:
    """Mean squared error, the mean over all N x K outputs (not the sum over K).

    Args:
        scores: (N, K) outputs.
        targets: (N, K) floating, in the same unit; or (N,) int64 class numbers, taken one-hot.
        check: also check that the values of ``targets`` are finite or in range.

    Raises:
        ShapeError, DataError: as ``check_loss_inputs``.

    Examples:
        >>> mse_loss(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))  # (0 + 4) / 2
        tensor(2.)
    """
    scores, targets = check_loss_inputs(scores, targets, "values", check)
    return F.mse_loss(scores, _one_hot(scores, targets))


def bce_loss(scores: Tensor, targets: Tensor, *, check: bool = True) -> Tensor:
    """Binary cross-entropy of the sigmoid of each score, in nats, mean over all N x K labels.

    For one label: ``-t log sigmoid(s) - (1 - t) log(1 - sigmoid(s))``.

    Args:
        scores: (N, K) raw scores (logits).
        targets: (N, K) floating in [0, 1]; or (N,) int64 class numbers, taken one-hot.
        check: also check that the values of ``targets`` are in range.

    Raises:
        ShapeError, DataError: as ``check_loss_inputs``.

    Examples:
        >>> bce_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))  # log 2
        tensor(0.6931)
    """
    scores, targets = check_loss_inputs(scores, targets, "labels", check)
    return F.binary_cross_entropy_with_logits(scores, _one_hot(scores, targets))


LOSSES: dict[str, Callable[..., Tensor]] = {
    "softmax": softmax_loss,
    "svm": svm_loss,
    "squared-hinge": squared_hinge_loss,
    "mse": mse_loss,
    "bce": bce_loss,
}
"""The losses by the names a recipe uses: ``loss(scores, targets, check=True) -> scalar``."""


def _losses_of_class(scores: Tensor, classes: Tensor, margin: float, squared: bool) -> Tensor:
    """(N,) losses L(y) for the class y of each example."""
    column = classes.unsqueeze(1)
    hinges = F.relu(scores - scores.gather(1, column) + margin)
    hinges = hinges.scatter(1, column, 0.0)
    return (hinges.square() if squared else hinges).sum(dim=1)


def _losses_of_all_classes(scores: Tensor, margin: float, squared: bool) -> Tensor:
    """(N, C) losses L(y) for every class y of every example."""
    hinges = F.relu(scores.unsqueeze(1) - scores.unsqueeze(2) + margin)
    own_class = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    hinges = hinges.masked_fill(own_class, 0.0)
    return (hinges.square() if squared else hinges).sum(dim=2)


def _one_hot(scores: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return targets
    return torch.zeros_like(scores).scatter(1, targets.unsqueeze(1), 1.0)


def _reduce(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
