"""Data losses by hand: SVM, squared hinge and softmax, their gradients, and what changes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import torch.nn.functional as F

from chainrule.nn.losses import svm_loss
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drafting import enough_mistakes, factor, numbers, shown
from chainrule.study.practice.families.initial_losses import INITIAL
from chainrule.study.practice.families.loss_gradients import softmax_gradient, svm_gradient
from chainrule.study.practice.families.scored_examples import (
    BOTH,
    MARGIN,
    NATURAL,
    SQUARED,
    Example,
    hinge,
    hinges,
    likely,
    pytorch_svm,
    reduced,
    scored,
    tensors,
)
from chainrule.study.practice.families.scores_changed import CHANGED
from chainrule.study.practice.question import LEVELS, Draft, Family


@enough_mistakes
def _svm_loss(drawn: Random, level: int) -> Draft:
    squared = level > 1 and drawn.random() < 0.5
    count = drawn.choice((2, 3)) if level == 3 else 1
    mean = count > 1 and drawn.random() < 0.5
    batch = [scored(drawn, drawn.choice((4, 5)) if level == 2 else 3) for _ in range(count)]
    scores, targets = tensors(batch)
    right = svm_loss(scores, targets, squared=squared, reduction="mean" if mean else "sum").item()
    power = 2 if squared else 1

    def slip(loss: Callable[[Example], float]) -> float:
        return sum(map(loss, batch)) / (count if mean else 1)

    name = "squared hinge loss" if squared else "SVM loss"
    other = right * count if mean else right / count
    return Draft(
        text=_asked(f"{name} (margin 1)", batch, mean),
        conventions=(SQUARED if squared else MARGIN, *reduced(count, mean)),
        expected=Number(right),
        proved=pytorch_svm(scores, targets, squared, mean).item(),
        way="PyTorch's multi_margin_loss times the number of classes",
        mistakes=numbers(
            *([(other, "averages over the examples" if not mean else
                "sums over the examples where the mean is wanted")] if count > 1 else []),
            *([(slip(lambda one: hinges(one, False)), "forgets the square")] if squared else []),
            (slip(lambda one: hinges(one, squared) + 1), "lets the right class count too"),
            (slip(lambda one: sum(hinge(d - 1, squared) for d in one.distances)),
             "forgets the margin"),
            (slip(lambda one: sum(d**power for d in one.distances)), "forgets the max with 0"),
            (right / len(batch[0].scores), "divides by the number of classes"),
            (slip(lambda one: max(hinge(d, squared) for d in one.distances)),
             "takes the worst class alone"),
            (slip(lambda one: sum(hinge(2 - d, squared) for d in one.distances)),
             "subtracts the wrong scores from the right one"),
        ),
        solution=(*(_svm_step(one, squared) for one in batch), *_together(batch, right, mean)),
        experiment=BOTH,
    )  # fmt: skip


def _svm_step(one: Example, squared: bool) -> str:
    own, square = one.scores[one.right], "^2" if squared else ""
    terms = [
        f"max(0, {shown(s)} - {factor(own)} + 1){square}"
        for j, s in enumerate(one.scores) if j != one.right
    ]  # fmt: skip
    return f"{' + '.join(terms)} = {shown(hinges(one, squared))}"


def _asked(name: str, batch: Sequence[Example], mean: bool) -> str:
    if len(batch) == 1:
        return f"What is the {name} of scores {batch[0].text}?"
    lines = "\n".join(f"example {i + 1}: scores {one.text}" for i, one in enumerate(batch))
    wanted = "mean" if mean else "sum"
    return f"What is the {wanted} of the {name} over these {len(batch)} examples?\n{lines}"


def _together(batch: Sequence[Example], value: float, mean: bool) -> tuple[str, ...]:
    if len(batch) == 1:
        return ()
    return (f"the {'mean' if mean else 'sum'} of {len(batch)} examples: {shown(value)}",)


@enough_mistakes
def _softmax_loss(drawn: Random, level: int) -> Draft:
    if level == 1:
        return _surprise(drawn)
    count = drawn.choice((2, 3)) if level == 3 else 1
    mean = count > 1 and drawn.random() < 0.5
    batch = [scored(drawn, drawn.choice((3, 4)) if level == 2 else 3) for _ in range(count)]
    losses = [-math.log(one.probabilities[one.right]) for one in batch]
    right = sum(losses) / (count if mean else 1)
    scores, targets = tensors(batch)

    def slip(loss: Callable[[Example], float]) -> float:
        return sum(map(loss, batch)) / (count if mean else 1)

    other = right * count if mean else right / count
    return Draft(
        text=_asked("softmax loss", batch, mean),
        conventions=(NATURAL, *reduced(count, mean)),
        expected=Number(right),
        proved=F.cross_entropy(scores, targets, reduction="mean" if mean else "sum").item(),
        way="PyTorch's cross_entropy",
        mistakes=numbers(
            *([(other, "averages over the examples" if not mean else
                "sums over the examples where the mean is wanted")] if count > 1 else []),
            (slip(lambda one: one.probabilities[one.right]),
             "gives the probability instead of minus its logarithm"),
            (slip(lambda one: -one.scores[one.right]), "forgets to normalize"),
            (right / math.log(2), "takes the logarithm to base 2"),
            (-right, "forgets the minus sign"),
            (slip(lambda one: -sum(map(math.log, one.probabilities))), "adds up all classes"),
            (slip(lambda one: hinges(one, False)), "computes the SVM loss"),
        ),
        solution=(*map(_softmax_step, batch), *_together(batch, right, mean)),
        experiment=BOTH,
    )  # fmt: skip


def _softmax_step(one: Example) -> str:
    powers = [math.exp(s) for s in one.scores]
    own = powers[one.right]
    return (
        f"p_y = {shown(own)} / ({' + '.join(map(shown, powers))}) = {shown(own / sum(powers))}, "
        f"-ln p_y = {shown(-math.log(own / sum(powers)))}"
    )


def _surprise(drawn: Random) -> Draft:
    """The loss where the probabilities are known."""
    one = likely(drawn, drawn.choice((3, 4)))
    p = one.scores[one.right]
    logits, target = tensors([one])
    return Draft(
        text=f"A softmax gives the probabilities {one.text}. What is the softmax loss?",
        conventions=(NATURAL,),
        expected=Number(-math.log(p)),
        proved=F.cross_entropy(logits.log(), target).item(),
        way="PyTorch's cross_entropy of scores with that softmax",
        mistakes=numbers(
            (-math.log2(p), "takes the logarithm to base 2"),
            (-math.log(1 - p), "takes the probability of the wrong classes"),
            (1 - p, "takes the distance from 1 instead of the logarithm"),
            (math.log(p), "forgets the minus sign"),
            (sum(-share * math.log(share) for share in one.scores),
             "computes the entropy of the probabilities"),
            (-math.log10(p), "takes the logarithm to base 10"),
        ),
        solution=(f"only the right class counts: -ln {shown(p)} = {shown(-math.log(p))}",),
        experiment=BOTH,
    )  # fmt: skip


FAMILIES = (
    Family("svm-loss", "losses", "SVM and squared hinge loss", LEVELS, _svm_loss),
    Family("svm-gradient", "losses", "gradient of the SVM loss", LEVELS, svm_gradient),
    Family("softmax-loss", "losses", "softmax loss", LEVELS, _softmax_loss),
    Family("softmax-gradient", "losses", "gradient of the softmax loss", LEVELS,
           softmax_gradient),
    *CHANGED,
    *INITIAL,
)  # fmt: skip
