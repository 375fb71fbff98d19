"""Yardstick: what a network says on fixed minibatches, measured in a way no change can move."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from chainrule.diagnosis.losses import BINARY, CLASSES, OWN, LossCall
from chainrule.diagnosis.replaying.minibatch import Minibatch
from chainrule.diagnosis.series import fingerprint

_EXAMPLES = 384
_COOLER = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 50.0, 200.0)
_ROUNDS = 8  # of the search for offsets, at each temperature
_ROWS, _MANY = 4000, 20_000  # answers that are looked at; numbers above which one round has to do
_WORST = -1.0
_MOST_CLASSES = 20
NUMBERS, WHOLE, SHARES = "numbers", "whole numbers", "shares"


@dataclass(eq=False)
class Yardstick:
    """Fixed minibatches and what is asked of them.

    Attributes:
        minibatches: those that are measured.
        pool: all that were captured, for changes that draw minibatches anew.
        held: those that the script itself evaluates on.
        task: "classes", "binary", "numbers", "whole numbers" (numbers that are classes), "shares"
            (one column per class); "" where only the training loss itself can be compared.
        wants: what the loss wants to be given.
        function: of the loss.
        ignored: target that does not count.
        classes: the values that targets take; empty for numbers.
    """

    minibatches: list[Minibatch] = field(default_factory=list)
    pool: list[Minibatch] = field(default_factory=list)
    held: list[Minibatch] = field(default_factory=list)
    task: str = ""
    wants: str = "logits"
    function: str = ""
    ignored: int = -100
    classes: tuple[float, ...] = ()

    def measure(
        self, say: Callable[[Minibatch], Tensor | None], minibatches: list[Minibatch] | None = None
    ) -> tuple[float, float | None, float]:
        """Loss, error and skill of what is said on the minibatches.

        Args:
            say: minibatch -> what the network gives the loss.
            minibatches: those to measure on; by default the fixed ones of the training.
        """
        said, wanted = [], []
        for item in self.minibatches if minibatches is None else minibatches:
            answer = say(item)
            if answer is None:
                return math.nan, None, math.nan
            said.append(answer.detach())
            wanted.append(item.target)
        if not said:
            return math.nan, None, math.nan
        if self.task in (CLASSES, BINARY, WHOLE, SHARES):
            return self._classes(said, wanted)
        return self._numbers(said, wanted)

    @property
    def first(self) -> int:
        """The network that gets the minibatches."""
        return self.pool[0].root if self.pool else 0

    @property
    def networks(self) -> tuple[int, ...]:
        """Those that take part, in the order in which they run."""
        return self.pool[0].networks if self.pool else (0,)

    def shares(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Values of the targets and their shares over all captured minibatches."""
        if self.task not in (CLASSES, BINARY, WHOLE, SHARES):
            return (), ()
        if self.task == SHARES:
            labels = torch.cat([item.target.argmax(1) for item in self.pool])
        else:
            labels = torch.cat([item.target.reshape(-1) for item in self.pool])
            if self.task == CLASSES and labels.is_floating_point():
                return (), ()
            labels = labels[labels != self.ignored]
        values, counts = torch.unique(labels, return_counts=True)
        total = float(counts.sum())
        return tuple(map(float, values.tolist())), tuple(count / total for count in counts.tolist())

    # -- numbers

    def _numbers(
        self, said: list[Tensor], wanted: list[Tensor]
    ) -> tuple[float, float | None, float]:
        if any(one.numel() != two.numel() for one, two in zip(said, wanted, strict=True)):
            return math.nan, None, math.nan
        target = torch.cat([_rows(item) for item in wanted]).double()
        answer = torch.cat(
            [_rows(one.reshape(two.shape)) for one, two in zip(said, wanted, strict=True)]
        ).double()
        finite = target.isfinite()
        target, answer = torch.where(finite, target, 0.0), torch.where(finite, answer, 0.0)
        if self.function in ("l1_loss",):
            missed = (answer - target).abs().mean()
            spread = (target - target.median(0).values).abs().mean()
        else:
            missed = ((answer - target) ** 2).mean()
            spread = ((target - target.mean(0)) ** 2).mean()
        loss = float(missed / spread) if float(spread) > 0 else math.nan
        return loss, None, _skill(1 - loss)

    # -- classes

    def _classes(
        self, said: list[Tensor], wanted: list[Tensor]
    ) -> tuple[float, float | None, float]:
        pairs = [self._scores(one, two) for one, two in zip(said, wanted, strict=True)]
        if any(item is None for item in pairs):
            return math.nan, None, math.nan
        scores = torch.cat([item[0] for item in pairs if item]).double()
        labels = torch.cat([item[1] for item in pairs if item])
        kept = labels != self.ignored
        scores, labels = scores[kept], labels[kept]
        if not len(labels) or not bool(scores.isfinite().all()):
            return math.inf, 1.0, _WORST
        present, counts = torch.unique(labels, return_counts=True)
        chosen = scores.argmax(1)
        recalls = [float((chosen[labels == name] == name).double().mean()) for name in present]
        error = 1 - sum(recalls) / len(recalls)
        by_error = 1 - error / (1 - 1 / len(recalls)) if len(recalls) > 1 else 1 - error
        shares = counts.double() / counts.sum()
        entropy = float(-(shares * shares.log()).sum())
        if self.task in (WHOLE, SHARES) or "margin" in self.function or self.function == "svm_loss":
            return error, error, _skill(by_error)
        loss = settled_loss(scores, labels)
        by_loss = 1 - loss / entropy if entropy > 0 else by_error
        return loss, error, _skill((by_error + max(by_loss, _WORST)) / 2)

    def _scores(self, said: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor] | None:
        """(rows, classes) scores and (rows,) class numbers."""
        said = said.float() if said.dtype in (torch.float16, torch.bfloat16) else said
        if self.task == CLASSES:
            return self._of_classes(said, wanted)
        if self.task == SHARES:
            return said.reshape(len(wanted), -1), wanted.reshape(len(wanted), -1).argmax(1)
        if said.numel() == wanted.numel():
            values = torch.tensor(self.classes, dtype=torch.double)
            labels = (wanted.reshape(-1, 1).double() - values).abs().argmin(1)
            if self.task == WHOLE:
                return -((said.reshape(-1, 1).double() - values) ** 2), labels
            logits = self._logits(said.reshape(-1))
            return torch.stack([torch.zeros_like(logits), logits], 1), labels
        if (
            said.dim() == 2 and len(said) == wanted.numel()
        ):  # a score for each class, after a change
            values = torch.tensor(self.classes, dtype=torch.double)
            return said, (wanted.reshape(-1, 1).double() - values).abs().argmin(1)
        return None

    def _logits(self, said: Tensor) -> Tensor:
        if self.wants == "log-probabilities":
            said = said.double().clamp(-60, -1e-12)
            return said - torch.log1p(-said.exp())
        squashed = bool((said >= 0).all()) and bool((said <= 1).all())
        if self.wants != "probabilities" and not squashed:
            return said
        return torch.logit(said.double().clamp(1e-7, 1 - 1e-7))

    def _of_classes(self, said: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor] | None:
        axis = 1 if said.dim() > 1 else 0
        rows = said.movedim(axis, -1).reshape(-1, said.shape[axis]).double()
        if rows.shape[1] < 2:  # one score for two classes says nothing
            return torch.zeros(len(rows), 2, dtype=torch.double), wanted.reshape(-1).long()
        if wanted.is_floating_point() and wanted.shape == said.shape:
            wanted = wanted.argmax(axis)
        labels = wanted.reshape(-1).long()
        if len(labels) != len(rows):
            return None
        sums = rows.sum(1)
        if bool((rows >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all()):
            rows = rows.clamp_min(1e-30).log()
        return rows, labels


def settled_loss(scores: Tensor, labels: Tensor) -> float:
    """Cross entropy (nats) at the best temperature, at least 1, and the best offsets of classes.

    What is left says how well inputs tell classes apart: being too sure is no fault, and how often
    a class is named is what the error over classes measures.

    Args:
        scores: (N, C), finite.
        labels: (N,) numbers of classes.
    """
    every = -(-len(labels) // _ROWS)
    scores, labels = scores[::every], labels[::every]
    rounds = _ROUNDS if scores.numel() < _MANY else 1  # offsets are handed on to the next
    shares = torch.bincount(labels, minlength=scores.shape[1]).double() / len(labels)
    present, rare = shares > 0, shares.clamp_min(1e-12).log()
    best, offsets = math.inf, torch.zeros(scores.shape[1], dtype=torch.double)
    for cooler in _COOLER:
        cooled = scores / cooler
        for _ in range(rounds):
            logs = (cooled + offsets).log_softmax(1)
            best = min(best, float(-logs.gather(1, labels[:, None]).mean()))
            # where the mean probability of each class is its share, the offsets are the best
            means = logs.exp().mean(0).clamp_min(1e-12)
            offsets = offsets + torch.where(present, rare - means.log(), 0.0).clamp(-5, 5)
    return best


def _rows(value: Tensor) -> Tensor:
    return value.reshape(len(value), -1) if value.dim() else value.reshape(1, 1)


def _skill(value: float) -> float:
    return max(_WORST, min(1.0, value)) if math.isfinite(value) else _WORST


def yardstick_of(pool: list[Minibatch], call: LossCall) -> Yardstick:
    """A yardstick for a task, as its loss call shows it.

    Args:
        pool: captured minibatches.
        call: one of its loss calls.
    """
    measured = _spread(pool)
    found = Yardstick(measured, pool, task=_task(call, measured), wants=call.kind.wants)
    found.function = call.kind.name
    found.ignored = int(call.options.get("ignore_index", -100))
    if found.task in (BINARY, WHOLE):
        values = torch.unique(torch.cat([item.target.reshape(-1) for item in measured]))
        found.classes = tuple(values.tolist())
        if found.task == BINARY and len(values) > 2:
            return replace(found, task=NUMBERS)
    return found


def _spread(pool: list[Minibatch]) -> list[Minibatch]:
    """Minibatches from all over the pool, with a few hundred examples."""
    seen: dict[str, Minibatch] = {}
    for item in pool:  # of several epochs in one order each minibatch counts once
        key = "" if item.inputs is None else fingerprint(item.inputs)
        seen.setdefault(key or str(len(seen)), item)
    kept = list(seen.values())
    if not kept:
        return []
    count = max(2, min(len(kept), math.ceil(_EXAMPLES / max(kept[0].examples, 1))))
    return [kept[index * len(kept) // count] for index in range(min(count, len(kept)))]


def _task(call: LossCall, measured: list[Minibatch]) -> str:
    """What kind of answer is wanted, by the targets rather than by the loss."""
    if not measured:
        return ""
    if call.kind.task in (CLASSES, BINARY):
        return call.kind.task
    if call.kind is OWN and not _compares(call.name.split()):
        return ""
    target = torch.cat([item.target.reshape(-1) for item in measured])
    first = measured[0].target
    if target.is_complex() or target.dtype == torch.bool:
        return ""
    if first.dim() == 2 and first.shape[1] > 1 and _one_hot(measured):
        return SHARES
    same = call.input.numel() == (0 if call.target is None else call.target.numel())
    values = torch.unique(target)
    whole = bool((target == target.round()).all())
    if whole and 1 < len(values) <= _MOST_CLASSES and _counted_up(values) and same:
        return WHOLE
    if not same and call.input.dim() != 2:
        return ""
    return NUMBERS if target.is_floating_point() else ""


def _compares(operations: list[str]) -> bool:
    """Whether a loss that was written out takes answers from targets, as a distance does."""
    picks = {"gather", "getitem", "take_along_dim"}  # as the logarithm of an action's probability
    return not picks & set(operations) and bool({"sub", "rsub", "subtract"} & set(operations))


def _counted_up(values: Tensor) -> bool:
    """0, 1, 2, ... or 1, 2, 3, ... or -1, 1."""
    steps = torch.diff(values.double())
    return (bool((steps == 1).all()) and float(values[0]) in (0.0, 1.0)) or values.tolist() == [
        -1,
        1,
    ]


def _one_hot(measured: list[Minibatch]) -> bool:
    return all(
        bool(((item.target == 0) | (item.target == 1)).all())
        and bool((item.target.sum(1) == 1).all())
        for item in measured
    )
