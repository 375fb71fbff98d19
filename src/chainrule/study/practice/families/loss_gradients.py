"""Gradients of data losses, by the scores and by the weights of a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from chainrule.study.practice.expected import Vector
from chainrule.study.practice.families.drafting import (
    ORDINALS,
    enough_mistakes,
    factor,
    halves,
    listed,
    shown,
    vectors,
)
from chainrule.study.practice.families.scored_examples import (
    BOTH,
    MARGIN,
    NATURAL,
    SQUARED,
    Example,
    likely,
    pytorch_svm,
    reduced,
    scored,
    svm_slopes,
    tensors,
)
from chainrule.study.practice.question import Draft

_AUTOGRAD = "PyTorch's autograd"


@enough_mistakes
def svm_gradient(drawn: Random, level: int) -> Draft:
    squared = level > 1 and drawn.random() < 0.5
    if level == 3:
        return _by_weights([scored(drawn, 3) for _ in range(2)], drawn, "svm", squared)
    one = scored(drawn, 4 if level == 2 else 3)
    slopes = svm_slopes(one, squared)
    leaf, targets = tensors([one])
    leaf.requires_grad_()
    loss = pytorch_svm(leaf, targets, squared, mean=False)
    y, own = one.right, one.scores[one.right]
    active = [j != y and slope > 0 for j, slope in enumerate(slopes)]
    alone = [-1.0 if j == y else slope for j, slope in enumerate(slopes)]
    slack = [max(0.0, s - own + 1) if j != y else 0.0 for j, s in enumerate(one.scores)]
    balanced = [-sum(slack) if j == y else d for j, d in enumerate(slack)]
    return Draft(
        text=f"What is the gradient of the {'squared hinge' if squared else 'SVM'} loss "
        f"(margin 1) by the scores {one.text}? Give {len(slopes)} numbers.",
        conventions=(SQUARED if squared else MARGIN,),
        expected=Vector(tuple(slopes)),
        proved=torch.autograd.grad(loss, leaf)[0].flatten().tolist(),
        way=_AUTOGRAD,
        mistakes=vectors(
            ([-slope for slope in slopes], "has the sign turned"),
            ([0.0 if j == y else slope for j, slope in enumerate(slopes)],
             "forgets that every hinge depends on the right score too"),
            ([float(met) for met in active] if squared else balanced,
             "gives 1 for each hinge, but a square gives twice the hinge" if squared else
             "takes the hinges for their slopes, which are 1"),
            (alone, "gives the right class -1, whatever is too close"),
            ([-1.0 if j == y else 1.0 for j in range(len(slopes))],
             "counts classes that are far enough"),
            (balanced if squared else [2 * slope for slope in slopes],
             "forgets the 2 of the square" if squared else "has a 2 as if hinges were squared"),
            ([slope / len(slopes) for slope in slopes], "divides by the number of classes"),
        ),
        solution=(
            *(f"{ORDINALS[j]} class: {shown(s)} - {factor(own)} + 1 = {shown(s - own + 1)}, "
              f"so its gradient is {shown(slopes[j])}"
              for j, s in enumerate(one.scores) if j != y),
            f"the right class gets minus the sum of these: {shown(slopes[y])}",
            f"together {listed(slopes)}",
        ),
        experiment=BOTH,
    )  # fmt: skip


@enough_mistakes
def softmax_gradient(drawn: Random, level: int) -> Draft:
    if level == 3:
        return _by_weights([likely(drawn, 3) for _ in range(2)], drawn, "softmax", False)
    one = likely(drawn, drawn.choice((3, 4))) if level == 1 else scored(drawn, 3)
    p = list(one.scores) if level == 1 else one.probabilities
    y = one.right
    slopes = [share - (j == y) for j, share in enumerate(p)]
    leaf, targets = tensors([one])
    leaf = (leaf.log() if level == 1 else leaf).requires_grad_()
    loss = F.cross_entropy(leaf, targets)
    given = f"A softmax gives the probabilities {one.text}." if level == 1 else (
        f"A classifier gives the scores {one.text}."
    )  # fmt: skip
    return Draft(
        text=f"{given} What is the gradient of the softmax loss by the {len(p)} scores?",
        conventions=(NATURAL, "the gradient by the scores, not by the probabilities"),
        expected=Vector(tuple(slopes)),
        proved=torch.autograd.grad(loss, leaf)[0].flatten().tolist(),
        way=_AUTOGRAD,
        mistakes=vectors(
            ([-slope for slope in slopes], "has the sign turned: y - p instead of p - y"),
            (p, "forgets to subtract 1 at the right class"),
            ([-1 / share if j == y else 0.0 for j, share in enumerate(p)],
             "is the gradient by the probabilities"),
            ([share - 1 for share in p], "subtracts 1 from every class"),
            ([share * (1 - share) for share in p], "takes the slope of each probability alone"),
            ([slope / len(p) for slope in slopes], "divides by the number of classes"),
        ),
        solution=(
            *([] if level == 1 else [f"p = softmax of the scores = {listed(p)}"]),
            f"p - y with y = {listed(float(j == y) for j in range(len(p)))}: {listed(slopes)}",
        ),
        experiment=BOTH,
    )  # fmt: skip


def _by_weights(batch: list[Example], drawn: Random, kind: str, squared: bool) -> Draft:
    """The gradient by the weights of one class of a linear classifier, over a minibatch of 2."""
    features = _features(drawn)
    mean, wanted = drawn.random() < 0.5, drawn.randrange(3)
    softmax = kind == "softmax"
    slopes = [_softmax_slopes(one) if softmax else svm_slopes(one, squared) for one in batch]
    own = [row[wanted] for row in slopes]
    share = 0.5 if mean else 1.0
    right = _weighted(own, features, share)
    plus = [s + (one.right == wanted) for s, one in zip(own, batch, strict=True)]
    name = "softmax" if softmax else "squared hinge" if squared else "SVM"
    what, rule = ("probabilities", " (p - y)") if softmax else ("scores", "")
    lines = "\n".join(
        f"example {i + 1}: `x = {listed(x)}`, {what} {one.text}"
        for i, (x, one) in enumerate(zip(features, batch, strict=True))
    )
    return Draft(
        text=f"A linear classifier `s_c = w_c . x` on a minibatch of 2:\n{lines}\nWhat is the "
        f"gradient of the {name} loss, {'mean' if mean else 'summed'} over both examples, by the "
        f"weights of the {ORDINALS[wanted]} class? Give 2 numbers.",
        conventions=(NATURAL if softmax else SQUARED if squared else MARGIN,
                     *reduced(2, mean)),
        expected=Vector(tuple(right)),
        proved=_row_by_autograd(batch, features, kind, squared, mean)[wanted].tolist(),
        way=_AUTOGRAD,
        mistakes=vectors(
            (_weighted(own, features, 1.5 - share),
             "sums where the mean is wanted" if mean else "averages where the sum is wanted"),
            ([-item for item in right], "has the sign turned"),
            (_weighted(own, features[::-1], share), "takes the features of the other example"),
            (_weighted(own[:1], features[:1], share), "forgets the second example"),
            (_weighted(own[1:], features[1:], share), "forgets the first example"),
            (_weighted(plus, features, share), "forgets what the right class loses"),
            ([share * sum(own)] * 2, "forgets to multiply by the features"),
        ),
        solution=(
            *(f"example {i + 1}: dL/ds of that class = {shown(s)}{rule}, times x = "
              f"{listed(s * item for item in x)}"
              for i, (s, x) in enumerate(zip(own, features, strict=True))),
            f"{'mean' if mean else 'sum'} of both: {listed(right)}",
        ),
        experiment=BOTH,
    )  # fmt: skip


def _features(drawn: Random) -> list[tuple[float, float]]:
    """Two features of two examples, from which scores can be made of any size."""
    while True:
        found = [(halves(drawn, -2, 3), halves(drawn, -2, 3)) for _ in range(2)]
        (a, b), (c, d) = found
        if a * d != b * c and all((a, b, c, d)):
            return found


def _softmax_slopes(one: Example) -> list[float]:
    """p - y, where the scores are the probabilities themselves."""
    return [share - (j == one.right) for j, share in enumerate(one.scores)]


def _weighted(
    slopes: Sequence[float], features: Sequence[Sequence[float]], share: float
) -> list[float]:
    """The slopes times the features, summed over the examples."""
    pairs = list(zip(slopes, features, strict=True))
    return [share * sum(slope * x[k] for slope, x in pairs) for k in range(2)]


def _row_by_autograd(
    batch: Sequence[Example],
    features: Sequence[Sequence[float]],
    kind: str,
    squared: bool,
    mean: bool,
) -> Tensor:
    """The gradient by the weights (3, 2) that give these scores on these features."""
    inputs = torch.tensor(features, dtype=torch.float64)
    scores, targets = tensors(batch)
    scores = scores.log() if kind == "softmax" else scores
    weights = torch.linalg.solve(inputs, scores).T.contiguous().requires_grad_()
    made = inputs @ weights.T
    if kind == "softmax":
        loss = F.cross_entropy(made, targets, reduction="mean" if mean else "sum")
    else:
        loss = pytorch_svm(made, targets, squared, mean)
    rows: Tensor = torch.autograd.grad(loss, weights)[0]
    return rows
