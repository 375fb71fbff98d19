"""The gradient through batch normalization, proved by autograd through PyTorch's layer."""

from __future__ import annotations

from random import Random

import torch

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.batchnorm_minibatch import (
    BIASED,
    EPSILON,
    Minibatch,
    easy,
)
from chainrule.study.practice.families.drawing import (
    inner,
    mistaken,
    row,
    shown,
    until,
)
from chainrule.study.practice.question import Draft, Family


def _gradients(batch: Minibatch, upstream: list[float]) -> tuple[float, float, float]:
    """dL/dgamma, dL/dbeta and dL/dx of the first example, by autograd through the layer."""
    layer, inputs = batch.layer(), batch.inputs().requires_grad_()
    layer(inputs).backward(torch.tensor(upstream, dtype=torch.float64)[:, None])
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    assert inputs.grad is not None
    return float(layer.weight.grad), float(layer.bias.grad), float(inputs.grad[0])


def _gradient(drawn: Random, level: int) -> Draft:
    return _gradient_of_parameters(drawn) if level == 2 else _gradient_of_input(drawn)


def _with_upstream(drawn: Random) -> tuple[Minibatch, list[float]]:
    """Gradients that come out neither 0 nor all alike."""

    def draw() -> tuple[Minibatch, list[float]]:
        batch = easy(drawn)
        return batch, [float(drawn.randint(-3, 3)) for _ in batch.values]

    def fine(found: tuple[Minibatch, list[float]]) -> bool:
        batch, upstream = found
        if len(batch.values) < 4 or not upstream[0]:
            return False
        return all(abs(value) > 0.02 for value in _gradients(batch, upstream))

    return until(draw, fine)


def _gradient_of_parameters(drawn: Random) -> Draft:
    batch, upstream = _with_upstream(drawn)
    normalized = [batch.normalized(place) for place in range(len(batch.values))]
    gamma = sum(g * x for g, x in zip(upstream, normalized, strict=True))
    beta, count = sum(upstream), len(upstream)
    raw = sum(g * x for g, x in zip(upstream, batch.values, strict=True))
    centred = sum(g * (x - batch.mean) for g, x in zip(upstream, batch.values, strict=True))
    return Draft(
        text=f"A feature has the values `{row(batch.values)}` in a minibatch. A batchnorm layer in "
        f"training mode ({batch.settings}) gives y, and the upstream gradient `dL/dy` of the "
        f"examples is `{row(upstream)}`. Give `[dL/dgamma, dL/dbeta]` of this feature.",
        conventions=(BIASED, EPSILON, "y = gamma * x_normalized + beta"),
        expected=Vector((gamma, beta)),
        proved=_gradients(batch, upstream)[:2],
        way="autograd through PyTorch's BatchNorm1d",
        mistakes=mistaken(
            ([raw, beta], "takes the inputs before they are normalized"),
            ([centred, beta], "forgets to divide by the standard deviation"),
            ([gamma / count, beta / count], "takes the mean over the minibatch instead of the sum"),
            ([beta, gamma], "swaps gamma and beta"),
            ([gamma * batch.gamma, beta], "multiplies by gamma once more"),
        ),
        solution=(
            f"normalized inputs: {row(normalized)}",
            f"dL/dgamma = sum of dL/dy times normalized input = {shown(gamma)}",
            f"dL/dbeta = sum of dL/dy = {shown(beta)}",
            f"[{shown(gamma)}, {shown(beta)}]",
        ),
    )  # fmt: skip


def _gradient_of_input(drawn: Random) -> Draft:
    batch, upstream = _with_upstream(drawn)
    count = len(upstream)
    normalized = [batch.normalized(place) for place in range(count)]
    mean = sum(upstream) / count
    along = sum(g * x for g, x in zip(upstream, normalized, strict=True)) / count
    factor = batch.gamma / batch.root
    right = factor * (upstream[0] - mean - normalized[0] * along)
    return Draft(
        text=f"A feature has the values `{row(batch.values)}` in a minibatch. A batchnorm layer in "
        f"training mode ({batch.settings}) gives y, and the upstream gradient `dL/dy` of the "
        f"examples is `{row(upstream)}`. What is `dL/dx` of the first example?",
        conventions=(BIASED, EPSILON, "mean and variance depend on all x of the minibatch"),
        expected=Number(right),
        proved=_gradients(batch, upstream)[2],
        way="autograd through PyTorch's BatchNorm1d",
        mistakes=mistaken(
            (factor * upstream[0], "takes mean and variance for constants, as in evaluation"),
            (factor * (upstream[0] - mean), "forgets the way through the variance"),
            (factor * (upstream[0] - normalized[0] * along), "forgets the way through the mean"),
            (right / batch.gamma, "forgets gamma"),
            (right * batch.root, "forgets to divide by the standard deviation"),
        ),
        solution=(
            f"normalized inputs: {row(normalized)}, standard deviation {shown(batch.root)}",
            f"mean of dL/dy = {shown(mean)}; mean of dL/dy times normalized input = {shown(along)}",
            f"{shown(batch.gamma)} / {shown(batch.root)} * ({shown(upstream[0])} - {inner(mean)} - "
            f"{inner(normalized[0])} * {inner(along)}) = {shown(right)}",
        ),
    )  # fmt: skip


FAMILIES = (
    Family("batchnorm-gradient", "batchnorm", "gradient through batchnorm", (2, 3), _gradient),
)
