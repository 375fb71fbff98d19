"""Facts of training: gradients, updates, losses, penalties; each tried in a few lines."""

from __future__ import annotations

import math
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.nn.losses import LOSSES
from chainrule.nn.penalties import penalty
from chainrule.study.practice.families.claims import (
    Claim,
    Fact,
    close,
    either,
    gradient_of,
)
from chainrule.study.practice.families.drawing import row, shown


def _doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _mean_of_parts(drawn: Random) -> Claim:
    parts, size = drawn.choice((2, 3, 4, 5, 8)), drawn.choice((2, 4, 8))
    word = either(drawn, "mean", ["sum", "largest"])
    x, y = torch.randn(parts * size, 3, dtype=torch.float64), torch.randn(parts * size).double()

    def gradient(some: Tensor, wanted: Tensor) -> Tensor:
        w = torch.ones(3, dtype=torch.float64, requires_grad=True)
        torch.autograd.backward(F.mse_loss(some @ w, wanted))
        return gradient_of(w)

    rows = torch.stack([gradient(a, b) for a, b in zip(x.chunk(parts), y.chunk(parts),
                                                       strict=True)])  # fmt: skip
    made = {"mean": rows.mean(0), "sum": rows.sum(0), "largest": rows.amax(0)}[word]
    gap = float((made - gradient(x, y)).abs().max())
    return Claim(
        f"With a mean loss, the gradient over {parts * size} examples is the {word} of the "
        f"gradients over its {parts} parts of {size} examples each.",
        word == "mean", gap < 1e-9, f"On random data both differ by up to {gap:.2g}.",
    )  # fmt: skip


def _noise(drawn: Random) -> Claim:
    times = drawn.choice((4, 9, 16, 25))
    said = either(drawn, math.isqrt(times), [times, times**2])
    values = torch.randn(100)
    spread = [float(values[torch.randint(100, (3000, 4 * k))].mean(1).std()) for k in (1, times)]
    ratio = spread[0] / spread[1]
    return Claim(
        f"A minibatch {times} times larger (drawn at random with return) makes the standard "
        f"deviation of the gradient about {said} times smaller.",
        said == math.isqrt(times), close(ratio, said, 0.15),
        f"Of 3000 minibatches each it came out {ratio:.3g} times smaller.",
    )  # fmt: skip


def _saddle(drawn: Random) -> Claim:
    a, b = drawn.choice((1, 2, 3)), drawn.choice((-2, -1, 1, 2, 3))
    c = drawn.choice([c for c in range(-7, 8) if 4 * a * b != c * c])
    kind = drawn.choice(("a minimum", "a saddle"))
    angle = torch.linspace(0, 2 * math.pi, 400, dtype=torch.float64)
    x, y = angle.cos(), angle.sin()
    lowest = float((a * x * x + b * y * y + c * x * y).min())
    return Claim(
        f"`{a} * x^2 {'+' if b > 0 else '-'} {abs(b)} * y^2 {'+' if c >= 0 else '-'} {abs(c)} * x "
        f"* y` has {kind} at (0, 0).",
        (4 * a * b < c * c) == (kind == "a saddle"), (lowest < 0) == (kind == "a saddle"),
        f"Its lowest value on the unit circle around it is {lowest:.3g}; at the point it is 0.",
    )  # fmt: skip


def _margin(drawn: Random) -> Claim:
    scores = [float(drawn.choice((3, 4, 5, 6))), *(float(drawn.randint(-3, 4)) for _ in range(2))]
    gaps = [scores[0] - other - 1 for other in scores[1:]]
    name = drawn.choice(("svm", "svm", "softmax"))
    before, after = (float(LOSSES[name](_doubles([[scores[0] + d, *scores[1:]]]),
                                        torch.tensor([0]))) for d in (0.0, 1.0))  # fmt: skip
    title = {"svm": "multiclass SVM loss (margin 1)", "softmax": "softmax loss"}[name]
    return Claim(
        f"An example of the first class has the scores {row(scores)}. Raising the first score by 1 "
        f"lowers its {title}.",
        name == "softmax" or min(gaps) < 0, before - after > 1e-9,
        f"The loss goes from {before:.4g} to {after:.4g}.",
    )  # fmt: skip


def _shift(drawn: Random) -> Claim:
    name, kind = drawn.choice(("svm", "softmax")), drawn.choice(("adding", "multiplying by"))
    size = float(drawn.choice((2, 3, 5, 10)))
    scores = _doubles([[1.0, 0.5, -0.5]])
    changed = scores + size if kind == "adding" else scores * size
    target = torch.tensor([0])
    gap = float((LOSSES[name](changed, target) - LOSSES[name](scores, target)).abs())
    how = (
        f"adding {shown(size)} to all scores"
        if kind == "adding"
        else f"multiplying all scores by {shown(size)}"
    )
    told = f"The loss changes by {gap:.3g}." if gap > 1e-9 else "The loss does not change."
    title = {"svm": "multiclass SVM loss (margin 1)", "softmax": "softmax loss"}[name]
    return Claim(
        f"For the scores [1, 0.5, -0.5] of an example of the first class, {how} "
        f"changes the {title}.",
        kind != "adding", gap > 1e-9, told,
    )  # fmt: skip


def _at_the_start(drawn: Random) -> Claim:
    classes, name = drawn.choice((2, 3, 5, 10, 20, 100)), drawn.choice(("svm", "softmax"))
    right = math.log(classes) if name == "softmax" else float(classes - 1)
    said = either(drawn, right, [float(classes), 1 / classes, math.log2(classes), 1.0])
    loss = float(LOSSES[name](torch.zeros(4, classes).double(), torch.zeros(4).long()))
    title = {"svm": "multiclass SVM loss (margin 1)", "softmax": "softmax loss"}[name]
    return Claim(
        f"With {classes} classes and all scores 0 the {title}, as a mean over examples, is "
        f"{shown(said)}.",
        close(said, right), close(loss, said), f"It comes out as {loss:.4g}.",
    )  # fmt: skip


def _exact_difference(drawn: Random) -> Claim:
    power, x, h = drawn.choice((1, 2, 2, 3, 4)), drawn.choice((1.0, 2.0)), drawn.choice((0.25, 0.5))
    slope = ((x + h) ** power - (x - h) ** power) / (2 * h)
    error = slope - power * x ** (power - 1)
    return Claim(
        f"The central difference of `x^{power}` at x = {shown(x)} with h = {shown(h)} is exactly "
        "the derivative, but for rounding.",
        power <= 2, abs(error) < 1e-9, f"It is off by {error:.3g}.",
    )  # fmt: skip


def _pull(drawn: Random) -> Claim:
    kind, small = drawn.choice(("l1", "l2")), drawn.choice((0.1, 0.2, 0.25))
    pulls = []
    for size in (small, 2 * small):
        w = torch.tensor(size, dtype=torch.float64, requires_grad=True)
        torch.autograd.backward(penalty([w], kind))
        pulls.append(float(gradient_of(w)))
    ratio = pulls[1] / pulls[0]
    name = {"l1": "L1", "l2": "L2"}[kind]
    return Claim(
        f"The {name} penalty pulls a weight of {shown(small)} towards 0 as strongly as a weight of "
        f"{shown(2 * small)}.",
        kind == "l1", close(ratio, 1), f"The gradient at the larger weight is {ratio:.3g} times "
        "that at the smaller one.",
    )  # fmt: skip


_TABLES = {"AND": (0, 0, 0, 1), "OR": (0, 1, 1, 1), "NAND": (1, 1, 1, 0), "NOR": (1, 0, 0, 0),
           "XOR": (0, 1, 1, 0), "XNOR": (1, 0, 0, 1)}  # fmt: skip


def _linear_classifier(drawn: Random) -> Claim:
    name = drawn.choice(("AND", "OR", "NAND", "NOR", "XOR", "XOR", "XNOR", "XNOR"))
    weights = torch.arange(-2, 2.01, 0.5)
    grid = torch.cartesian_prod(weights, weights, weights)
    inputs = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    right = (grid @ inputs.T > 0) == torch.tensor(_TABLES[name]).bool()
    most = int(right.sum(1).max())
    return Claim(
        f"A linear classifier (two weights, a bias, a threshold) can compute {name} of two bits.",
        name not in ("XOR", "XNOR"), most == 4,
        f"Of {len(grid)} sets of weights tried the best has {most} of 4 cases right.",
    )  # fmt: skip


def _summed_loss(drawn: Random) -> Claim:
    count = drawn.choice((4, 8, 10, 16, 20, 32))
    said = count if drawn.random() < 0.5 else drawn.choice((1, 2 * count))
    x, y = torch.randn(count, 3).double(), torch.randn(count).double()
    sizes = []
    for reduction in ("sum", "mean"):
        w = torch.ones(3, dtype=torch.float64, requires_grad=True)
        torch.autograd.backward(F.mse_loss(x @ w, y, reduction=reduction))
        sizes.append(float(gradient_of(w).norm()))
    ratio = sizes[0] / sizes[1]
    return Claim(
        f"Taking the sum of the loss over a minibatch of {count} instead of its mean makes the "
        f"gradient {said} times as long.",
        said == count, close(ratio, said), f"On random data it is {ratio:.4g} times as long.",
    )  # fmt: skip


def _two_linear_layers(drawn: Random) -> Claim:
    size = drawn.choice((6, 8, 10))
    hidden = drawn.choice((size - 3, size - 1, size, size + 2))
    one, two = nn.Linear(size, hidden).double(), nn.Linear(hidden, size).double()
    rank = int(torch.linalg.matrix_rank((two.weight @ one.weight).detach()))
    return Claim(
        f"Two linear layers without an activation, {size} to {hidden} to {size}, can compute every "
        f"linear function of {size} inputs to {size} outputs.",
        hidden >= size, rank == size, f"The product of two random matrices of these sizes has rank "
        f"{rank}.",
    )  # fmt: skip


FACTS = (
    Fact(1, "minibatch-gradients", _mean_of_parts),
    Fact(2, "noisy-gradients", _noise),
    Fact(2, "minimum-and-saddle", _saddle),
    Fact(2, "svm-and-softmax", _margin),
    Fact(1, "svm-and-softmax", _shift),
    Fact(1, "svm-and-softmax", _at_the_start),
    Fact(1, "centred-differences", _exact_difference),
    Fact(2, "overfitting-cures", _pull),
    Fact(1, "capacity", _linear_classifier),
    Fact(1, "minibatch-gradients", _summed_loss),
    Fact(3, "capacity", _two_linear_layers),
)
