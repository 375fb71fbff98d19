"""Initial losses: what a loss must be before anything is learned, by which faults are seen."""

from __future__ import annotations

import math
from random import Random

import torch
import torch.nn.functional as F
from torch import nn

from chainrule.nn.losses import squared_hinge_loss, svm_loss
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drafting import (
    enough_mistakes,
    listed,
    numbers,
    shown,
)
from chainrule.study.practice.question import LEVELS, Draft, Family

_NATURAL = "natural logarithm"
_MEAN = "mean over the minibatch"
_RAN = "PyTorch's loss of scores that are all 0"
_BATCH = 6


@enough_mistakes
def _untrained(drawn: Random, level: int) -> Draft:
    """Scores of 0 (level 1), with a penalty (level 2), with a prior in the biases (level 3)."""
    if level == 3:
        return _with_prior(drawn)
    if level == 2:
        return _with_penalty(drawn)
    classes = drawn.choice((2, 3, 4, 5, 8, 10, 20, 50, 100, 200, 1000))
    made = {
        "softmax": _softmax, "svm": _svm, "squared hinge": _svm, "bce": _bce, "mse": _mse,
    }  # fmt: skip
    kind = drawn.choice(list(made))
    classes = min(classes, 20) if kind == "mse" else classes  # 1/C stays away from 0
    return made[kind](kind, classes)


def _zeros(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(_BATCH, classes, dtype=torch.float64), torch.arange(_BATCH) % classes


def _softmax(_: str, classes: int) -> Draft:
    scores, targets = _zeros(classes)
    right = math.log(classes)
    return Draft(
        text=f"A new classifier of {classes} classes gives scores of 0. What is its softmax loss?",
        conventions=(_NATURAL, _MEAN, "no regularization"),
        expected=Number(right),
        proved=F.cross_entropy(scores, targets).item(),
        way=_RAN,
        mistakes=numbers(
            (1 / classes, "gives the probability of a class, not minus its logarithm"),
            (0.0, "takes scores of 0 for a loss of 0"),
            (right / math.log(10), "takes the logarithm to base 10"),
            (right / math.log(2), "takes the logarithm to base 2"),
            (classes - 1, "gives the initial loss of an SVM"),
            (math.log(2), "is the loss of a single yes-or-no label"),
        ),
        solution=(f"every class gets the probability 1/{classes}",
                  f"-ln(1/{classes}) = ln {classes} = {shown(right)}"),
        experiment="flat-loss",
    )  # fmt: skip


def _svm(kind: str, classes: int) -> Draft:
    scores, targets = _zeros(classes)
    power = 2 if kind == "squared hinge" else 1
    name = "squared hinge loss" if power == 2 else "SVM loss"
    ours = squared_hinge_loss if power == 2 else svm_loss
    right = round(ours(scores, targets).item())
    square = "^2" if power == 2 else ""
    return Draft(
        text=f"A new classifier of {classes} classes gives scores of 0. What is its multiclass "
        f"{name} (margin 1)?",
        conventions=(f"`sum over j != y of max(0, s_j - s_y + 1){square}`", _MEAN,
                     "no regularization"),
        expected=Number(right),
        proved=round(F.multi_margin_loss(scores, targets, p=power).item() * classes, 9),
        way="PyTorch's multi_margin_loss times the number of classes",
        mistakes=numbers(
            (classes, "lets the right class count too"),
            (0, "forgets the margin"),
            (math.log(classes), "gives the initial loss of a softmax"),
            ((classes - 1) / classes, "divides by the number of classes"),
            (2 * (classes - 1), "counts every pair from both sides"),
            (1 / classes, "gives the share of a class"),
        ),
        solution=(f"each of the {classes - 1} wrong classes adds max(0, 0 - 0 + 1){square} = 1",
                  f"together {classes} - 1 = {right}"),
        experiment="svm-and-softmax",
    )  # fmt: skip


def _bce(_: str, classes: int) -> Draft:
    scores = _zeros(classes)[0]
    targets = (torch.rand_like(scores) < 0.5).double()
    right = classes * math.log(2)
    return Draft(
        text=f"A new network gives {classes} yes-or-no labels to each image, all with a score of "
        "0 before the sigmoid. What is its binary cross-entropy, summed over the labels?",
        conventions=(_NATURAL, f"summed over the {classes} labels", _MEAN),
        expected=Number(right),
        proved=F.binary_cross_entropy_with_logits(scores, targets, reduction="sum").item() / _BATCH,
        way=_RAN,
        mistakes=numbers(
            (math.log(classes), "gives the loss of a softmax over the labels"),
            (math.log(2), "takes the mean over the labels"),
            (0.5 * classes, "gives the probabilities, not minus their logarithms"),
            (float(classes), "takes the logarithm to base 2"),
            (2 * right, "counts yes and no of every label"),
        ),
        solution=("sigmoid(0) = 1/2, so each label costs -ln(1/2) = ln 2, be it yes or no",
                  f"{classes} ln 2 = {shown(right)}"),
        experiment="flat-loss",
    )  # fmt: skip


def _mse(_: str, classes: int) -> Draft:
    scores, targets = _zeros(classes)
    wanted = F.one_hot(targets, classes).double()
    return Draft(
        text=f"A new network of {classes} outputs, all 0, is trained by the mean squared error "
        "against one-hot targets. What is the loss?",
        conventions=(f"mean over the {classes} outputs and the minibatch", "no factor of 1/2"),
        expected=Number(1 / classes),
        proved=F.mse_loss(scores, wanted).item(),
        way=_RAN,
        mistakes=numbers(
            (1.0, "sums over the outputs"),
            (0.0, "forgets the output that should be 1"),
            (0.5 / classes, "has a factor of 1/2"),
            (1 / classes**2, "squares the mean"),
            (math.log(classes), "gives the loss of a softmax"),
            ((1 - 1 / classes) / classes, "takes outputs of 1/C, as a softmax gives them"),
        ),
        solution=("one output of each example is off by 1, the others by 0",
                  f"(1 + {classes - 1} x 0) / {classes} = {shown(1 / classes)}"),
    )  # fmt: skip


def _with_penalty(drawn: Random) -> Draft:
    """The full loss of a network whose last layer starts at 0."""
    halved, softmax = drawn.random() < 0.5, drawn.random() < 0.5
    while True:
        inputs, hidden = drawn.choice((20, 50, 100, 200)), drawn.choice((10, 20, 50))
        classes, weight = drawn.choice((3, 5, 10, 20, 100)), drawn.choice((0.1, 0.2, 0.5))
        strength = drawn.choice((0.001, 0.01, 0.02, 0.05, 0.1))
        total = inputs * hidden * weight**2
        data = math.log(classes) if softmax else classes - 1
        penalty = strength * total / (2 if halved else 1)
        if 0.1 * data < penalty < 4 * data:  # so that forgetting either shows
            break
    right = data + penalty
    half = "/2" if halved else ""
    other = math.log(classes) if not softmax else classes - 1
    return Draft(
        text=f"A two-layer network ({inputs} inputs, {hidden} hidden units, {classes} classes) "
        f"starts with weights of +{weight} or -{weight} in the first layer and 0 in the last; "
        f"biases are 0. What is the full loss, {'softmax' if softmax else 'SVM (margin 1)'} with "
        f"an L2 penalty of `{strength}{half} * sum(W^2)` over all weights?",
        conventions=(_NATURAL if softmax else "`sum over j != y of max(0, s_j - s_y + 1)`", _MEAN,
                     f"the penalty is lambda{half} times the sum of squares"),
        expected=Number(right),
        proved=_ran(inputs, hidden, classes, weight, strength / (2 if halved else 1), softmax),
        way="the loss of such a network in PyTorch",
        mistakes=numbers(
            (data, "forgets the penalty"),
            (penalty, "takes scores of 0 for a data loss of 0"),
            (other + penalty, f"takes the initial loss of {'an SVM' if softmax else 'a softmax'}"),
            (data + penalty * (2 if halved else 0.5),
             "forgets the 1/2 of the penalty" if halved else "has a 1/2 that is not there"),
            (data + penalty / weight, "sums the weights without squaring them"),
            (data + total, "forgets lambda"),
        ),
        solution=(
            f"the last layer is 0, so all scores are 0: data loss "
            f"{f'ln {classes}' if softmax else f'{classes} - 1'} = {shown(data)}",
            f"penalty: {strength}{half} x {inputs} x {hidden} x {weight}^2 = {shown(penalty)}",
            f"full loss: {shown(data)} + {shown(penalty)} = {shown(right)}",
        ),
        experiment="flat-loss",
    )  # fmt: skip


def _ran(inputs: int, hidden: int, classes: int, weight: float, strength: float,
         softmax: bool) -> float:  # fmt: skip
    """The full loss of the network on random examples."""
    first = nn.Linear(inputs, hidden).double()
    last = nn.Linear(hidden, classes).double()
    with torch.no_grad():
        first.weight.copy_(weight * torch.randn(hidden, inputs).sign())
        first.bias.zero_()
        last.weight.zero_()
        last.bias.zero_()
        scores = last(torch.relu(first(torch.randn(_BATCH, inputs, dtype=torch.float64))))
        targets = torch.arange(_BATCH) % classes
        squares = first.weight.square().sum() + last.weight.square().sum()
        data = (
            F.cross_entropy(scores, targets) if softmax
            else F.multi_margin_loss(scores, targets) * classes
        )  # fmt: skip
    return float(data + strength * squares)


def _with_prior(drawn: Random) -> Draft:
    """Biases that already know how frequent the classes are."""
    classes = drawn.choice((2, 3, 4))
    cuts = sorted(drawn.sample(range(1, 20), classes - 1))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, 20], strict=True)]
    shares = [part / 20 for part in parts]
    right = -sum(share * math.log(share) for share in shares)
    targets = torch.repeat_interleave(torch.arange(classes), torch.tensor(parts))
    biases = torch.tensor(shares, dtype=torch.float64).log()
    return Draft(
        text=f"The {classes} classes of a dataset have the shares `{listed(shares)}`. The last "
        "layer starts with weights of 0 and biases `b_c = ln(share of class c)`. What is the "
        "softmax loss over the dataset?",
        conventions=(_NATURAL, "mean over all examples", "no regularization"),
        expected=Number(right),
        proved=F.cross_entropy(biases.expand(20, classes), targets).item(),
        way="PyTorch's cross_entropy on 20 examples with these shares",
        mistakes=numbers(
            (math.log(classes), "gives the loss of biases of 0"),
            (right / math.log(2), "takes the logarithm to base 2"),
            (-math.log(max(shares)), "counts the most frequent class alone"),
            (-sum(map(math.log, shares)) / classes, "weighs all classes alike"),
            (
                -math.log(sum(share**2 for share in shares)),
                "takes the logarithm of the mean probability, not the mean of the logarithms",
            ),
            (1 - max(shares), "gives the error of guessing the most frequent class"),
        ),
        solution=(
            "the softmax of these biases is the shares themselves, for every example",
            "an example of class c costs -ln(share of c), and there is that share of them",
            f"-({' + '.join(f'{shown(s)} ln {shown(s)}' for s in shares)}) = {shown(right)}",
        ),
    )


INITIAL = (
    Family("initial-loss", "initial-loss", "loss of a network that has learned nothing", LEVELS,
           _untrained),
)  # fmt: skip
