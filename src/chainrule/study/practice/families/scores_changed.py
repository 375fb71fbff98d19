"""What becomes of losses when scores are shifted, scaled or changed alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from chainrule.study.practice.families.drafting import ORDINALS, halves, listed, shown
from chainrule.study.practice.question import Draft, Family, Option

_SAME = 1e-9
_LEVELS = (1, 2)
Scores = list[float]


@dataclass(frozen=True)
class _Quantity:
    """Something that scores decide, by hand and by PyTorch."""

    name: str
    by_hand: Callable[[Scores, int], Scores]
    by_pytorch: Callable[[Tensor, Tensor], Tensor]


def _softmax(scores: Scores) -> Scores:
    powers = [math.exp(item) for item in scores]
    return [item / sum(powers) for item in powers]


def _svm(scores: Scores, right: int, power: int = 1) -> Scores:
    own = scores[right]
    return [sum(max(0.0, s - own + 1) ** power for j, s in enumerate(scores) if j != right)]


def _bce(scores: Scores, right: int) -> Scores:
    terms = [-s if j == right else s for j, s in enumerate(scores)]
    return [sum(math.log(1 + math.exp(term)) for term in terms)]


def _bce_of_pytorch(scores: Tensor, right: Tensor) -> Tensor:
    wanted = F.one_hot(right, scores.shape[1]).double()
    return F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum")


_QUANTITIES = (
    _Quantity("the softmax loss", lambda s, y: [-math.log(_softmax(s)[y])], F.cross_entropy),
    _Quantity("the probabilities that the softmax gives", lambda s, _: _softmax(s),
              lambda s, _: s.softmax(1)),
    _Quantity("the SVM loss (margin 1)", _svm,
              lambda s, y: F.multi_margin_loss(s, y) * s.shape[1]),
    _Quantity("the squared hinge loss (margin 1)", lambda s, y: _svm(s, y, 2),
              lambda s, y: F.multi_margin_loss(s, y, p=2) * s.shape[1]),
    _Quantity("the predicted class (the largest score)",
              lambda s, _: [float(s.index(max(s)))], lambda s, _: s.argmax(1)),
    _Quantity("the binary cross-entropy of the scores, one-hot targets, summed", _bce,
              _bce_of_pytorch),
)  # fmt: skip


@dataclass(frozen=True)
class _Change:
    """Scores before and after, the right class, and what is done in words."""

    before: Scores
    after: Scores
    right: int
    text: str


def _every_score(drawn: Random) -> _Change:
    """All scores shifted or scaled."""
    while True:
        scores = [halves(drawn, -3, 4) for _ in range(3)]
        right = drawn.randrange(3)
        if len(set(scores)) == 3 and _svm(scores, right)[0] > 0:
            break
    if drawn.random() < 0.5:
        by = drawn.choice((-10, -5, -2, 2, 5, 10))
        what = f"{by} is added to" if by > 0 else f"{-by} is subtracted from"
        return _Change(scores, [s + by for s in scores], right, f"{what} every score")
    by = drawn.choice((2, 3, 10))
    return _Change(scores, [s * by for s in scores], right, f"every score is multiplied by {by}")


def _one_score(drawn: Random) -> _Change:
    """One score moved a little, so little that no hinge passes its kink."""
    while True:
        scores = [halves(drawn, -3, 6) for _ in range(4)]
        right = drawn.randrange(4)
        hinges = [s - scores[right] + 1 for j, s in enumerate(scores) if j != right]
        if len(set(scores)) == 4 and 0 not in hinges:
            break
    moved, by = drawn.randrange(4), drawn.choice((-0.25, -0.1, 0.1, 0.25))
    after = [s + by * (j == moved) for j, s in enumerate(scores)]
    what = f"{shown(abs(by))} is {'added to' if by > 0 else 'subtracted from'}"
    return _Change(scores, after, right, f"{what} the {ORDINALS[moved]} score alone")


def _changed(drawn: Random, level: int) -> Draft:
    change = _every_score(drawn) if level == 1 else _one_score(drawn)
    options = tuple(_option(item, change) for item in _QUANTITIES)
    kept = [item.text for item in options if item.right]
    return Draft(
        text=f"A classifier gives the scores `{listed(change.before)}`; the "
        f"{ORDINALS[change.right]} class is right. Then {change.text}. What stays exactly the "
        "same? Choose all that do.",
        way="PyTorch's losses before and after",
        proved=tuple(_kept(item, change) for item in _QUANTITIES),
        conventions=("SVM losses are sums over the wrong classes, of Weston and Watkins",),
        options=options,
        several=True,
        solution=(
            f"the scores become {listed(change.after)}",
            "softmax and SVM losses know only differences of scores; binary cross-entropy knows "
            "each score itself" if level == 1 else
            "every softmax probability depends on every score; a hinge that is 0 stays 0",
            f"what stays: {', '.join(kept) or 'nothing'}",
        ),
        experiment="svm-and-softmax",
    )  # fmt: skip


def _option(item: _Quantity, change: _Change) -> Option:
    before, after = (item.by_hand(list(s), change.right) for s in (change.before, change.after))
    right = max(abs(a - b) for a, b in zip(before, after, strict=True)) < _SAME
    shift = 1 if "predicted" in item.name else 0  # classes are counted from 1
    old, new = (_written([value + shift for value in row]) for row in (before, after))
    name = item.name[0].upper() + item.name[1:]
    verb = "stay" if item.name.endswith("gives") else "stays"
    told = f"{name} {verb} {old}." if right else f"{name}: {old} before, {new} after."
    return Option(item.name, right, told)


def _written(values: Scores) -> str:
    return shown(values[0]) if len(values) == 1 else listed(values)


def _kept(item: _Quantity, change: _Change) -> bool:
    target = torch.tensor([change.right])
    rows = [torch.tensor([row], dtype=torch.float64) for row in (change.before, change.after)]
    before, after = (item.by_pytorch(row, target).double() for row in rows)
    return bool((before - after).abs().max() < _SAME)


CHANGED = (
    Family("scores-changed", "losses", "losses of shifted, scaled and moved scores", _LEVELS,
           _changed),
)  # fmt: skip
