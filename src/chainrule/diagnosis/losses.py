"""Losses: what the loss functions of PyTorch expect, and what a constant answer would get."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.diagnosis.places import Place

CLASSES, BINARY, NUMBERS, OTHER = "classes", "binary", "numbers", "other"


@dataclass(frozen=True)
class LossKind:
    """What a loss function takes.

    Attributes:
        name: of the function in ``torch.nn.functional``.
        task: "classes" (one of C), "binary" (each output yes or no), "numbers", or "other".
        wants: what its input has to be: "logits", "log-probabilities", "probabilities", "numbers".
        at_zero: number of classes to the loss of a network whose scores are all 0; None where
            there is no such number.
    """

    name: str
    task: str
    wants: str
    at_zero: Callable[[int], float] | None = None


def _ln(classes: int) -> float:
    return math.log(max(classes, 1))


_LN2 = math.log(2)
_KNOWN = (
    LossKind("cross_entropy", CLASSES, "logits", _ln),
    LossKind("nll_loss", CLASSES, "log-probabilities", _ln),
    LossKind("multi_margin_loss", CLASSES, "logits", lambda classes: (classes - 1) / classes),
    LossKind("binary_cross_entropy", BINARY, "probabilities", lambda _: _LN2),
    LossKind("binary_cross_entropy_with_logits", BINARY, "logits", lambda _: _LN2),
    LossKind("soft_margin_loss", BINARY, "logits", lambda _: _LN2),
    LossKind("multilabel_soft_margin_loss", BINARY, "logits", lambda _: _LN2),
    LossKind("mse_loss", NUMBERS, "numbers"),
    LossKind("l1_loss", NUMBERS, "numbers"),
    LossKind("smooth_l1_loss", NUMBERS, "numbers"),
    LossKind("huber_loss", NUMBERS, "numbers"),
    LossKind("poisson_nll_loss", NUMBERS, "numbers"),
    LossKind("gaussian_nll_loss", NUMBERS, "numbers"),
    LossKind("svm_loss", CLASSES, "logits", lambda classes: float(classes - 1)),
    *(
        LossKind(name, OTHER, "numbers")
        for name in (
            "kl_div", "ctc_loss", "hinge_embedding_loss", "cosine_embedding_loss",
            "margin_ranking_loss", "triplet_margin_loss", "multilabel_margin_loss",
            "triplet_margin_with_distance_loss",
        )
    ),
)  # fmt: skip
LOSS_KINDS = {kind.name: kind for kind in _KNOWN}
OWN = LossKind("own", OTHER, "numbers")
# the mean of y log(p) + (1 - y) log(1 - p), as users write it out
BINARY_NLL = LossKind("binary_nll_loss", BINARY, "log-probabilities", lambda _: _LN2)
_HALF = {"probabilities": 0.5, "log-probabilities": -_LN2}  # answers above it are yes


@dataclass(eq=False)
class LossCall:
    """One call of a loss function, or a loss that the user wrote out.

    Attributes:
        name: of the function; of a written-out loss the operations it is made of.
        kind: what it expects.
        input: (N, ...) what the network said.
        target: (N, ...) what it should have said; None where it is not known.
        options: keyword arguments (reduction, weight, ...).
        output: what was returned.
        chain: operations between the network's output and the call.
        place: line of the call.
        written_out: whether it is the user's own expression.
        again: calls it once more with other tensors, (input, target) -> loss; None where unknown.
    """

    name: str
    kind: LossKind
    input: Tensor
    target: Tensor | None
    options: dict[str, Any]
    output: Tensor
    chain: tuple[str, ...] = ()
    place: Place | None = None
    written_out: bool = False
    again: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, repr=False)

    @property
    def reduction(self) -> str:
        return str(self.options.get("reduction", "mean"))

    @property
    def classes(self) -> int:
        """Number of classes, 1 where the task has none."""
        if self.kind.task != CLASSES:
            return 1
        return int(self.input.shape[1 if self.input.dim() > 1 else 0])

    @property
    def counted(self) -> int:
        """Over how many numbers the loss is summed or averaged."""
        if self.target is None:
            return max(self.input.numel(), 1)
        if self.kind.task == CLASSES:
            if not self.target.is_floating_point():
                ignored = self.options.get("ignore_index", -100)
                return max(int((self.target != ignored).sum()), 1)
            return max(self.target.numel() // max(self.classes, 1), 1)
        return max(self.output_size, 1)

    @property
    def output_size(self) -> int:
        if self.target is None:
            return self.input.numel()
        try:
            shape = np.broadcast_shapes(tuple(self.input.shape), tuple(self.target.shape))
        except ValueError:
            return self.input.numel()
        return math.prod(shape)

    def mean(self) -> float:
        """The loss per number or example, whatever its reduction."""
        value = self.output.detach()
        if value.dim():
            return float(value.double().mean())
        return float(value) / (self.counted if self.reduction == "sum" else 1)


def right_answers(call: LossCall) -> tuple[int, int] | None:
    """Right answers and answers of a classification; None where the task is none.

    A class is the largest of the scores; a binary answer is yes above a probability of 1/2.

    Examples:
        >>> scores, labels = torch.tensor([[1.0, 3.0], [2.0, 0.0]]), torch.tensor([1, 1])
        >>> loss = torch.nn.functional.cross_entropy(scores, labels)
        >>> right_answers(LossCall("", LOSS_KINDS["cross_entropy"], scores, labels, {}, loss))
        (1, 2)
    """
    if call.target is None or call.kind.task not in (CLASSES, BINARY):
        return None
    scores, target = call.input.detach(), call.target.detach()
    if call.kind.task == CLASSES:
        return _right_classes(call, scores, target)
    if scores.shape != target.shape:
        return None
    half = _HALF.get(call.kind.wants, 0.0)
    right = (scores > half) == (target > (0 if call.kind.name == "soft_margin_loss" else 0.5))
    return int(right.sum()), right.numel()


def _right_classes(call: LossCall, scores: Tensor, target: Tensor) -> tuple[int, int] | None:
    axis = 1 if scores.dim() > 1 else 0
    chosen = scores.argmax(axis)
    wanted = target.argmax(axis) if target.is_floating_point() else target
    if chosen.shape != wanted.shape:
        return None
    kept = wanted != call.options.get("ignore_index", -100)
    return int(((chosen == wanted) & kept).sum()), int(kept.sum())


@dataclass
class TargetTally:
    """What the targets seen so far would let a constant answer reach.

    Attributes:
        counts: by class (one of C), or no and yes (binary).
        count, mean, squares: of numbers, and the sum of squared distances from their mean.
    """

    counts: dict[int, int] = field(default_factory=dict)
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, call: LossCall) -> None:
        """Take in the targets of a call."""
        if call.target is None:
            return
        target = call.target.detach()
        if call.kind.task == CLASSES:
            self._classes(call, target)
        elif call.kind.task == BINARY:
            yes = int((target > 0.5).sum())
            self._tally({0: target.numel() - yes, 1: yes})
        elif target.is_floating_point() and target.numel():
            self._numbers(target)

    def _classes(self, call: LossCall, target: Tensor) -> None:
        if target.is_floating_point() and target.dim() == call.input.dim():
            target = target.argmax(1 if target.dim() > 1 else 0)
        kept = target[target != call.options.get("ignore_index", -100)].long()
        values, counts = torch.unique(kept, return_counts=True)
        self._tally(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def _tally(self, counts: dict[int, int]) -> None:
        for name, number in counts.items():
            self.counts[name] = self.counts.get(name, 0) + number

    def _numbers(self, target: Tensor) -> None:
        variance, mean = torch.var_mean(target.double(), correction=0)
        count, total = target.numel(), self.count + target.numel()
        apart = float(mean) - self.mean
        self.squares += float(variance) * count + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count = total

    def constant(self, kind: LossKind) -> float | None:
        """Loss of the best constant answer: entropy of the targets (nats), or their variance.

        Examples:
            >>> round(TargetTally({0: 5, 1: 5}).constant(LOSS_KINDS["cross_entropy"]), 4)
            0.6931
        """
        if kind.name in ("cross_entropy", "nll_loss") or (
            kind.task == BINARY and kind.name.startswith("binary")
        ):
            total = sum(self.counts.values())
            shares = [number / total for number in self.counts.values() if number]
            return -sum(share * math.log(share) for share in shares) if total else None
        if kind.name == "mse_loss" and self.count:
            return self.squares / self.count
        return None


def is_loss(function: Any) -> bool:
    """Whether a function is one of PyTorch's losses."""
    return str(getattr(function, "__name__", "")).strip("_") in LOSS_KINDS
