"""Facts of updates: gradient descent, momentum, Adam, AdaGrad, weight decay; each tried at once."""

from __future__ import annotations

import math
from random import Random

import torch
from torch import Tensor

from chainrule.nn.penalties import penalty
from chainrule.study.practice.families.claims import (
    Claim,
    Fact,
    close,
    either,
)
from chainrule.study.practice.families.drawing import shown


def _diverges(drawn: Random) -> Claim:
    c, rate = drawn.choice((1, 2, 4, 5, 10)), drawn.choice((0.05, 0.1, 0.3, 0.45, 0.6, 0.9, 1.5, 3))
    if close(rate * c, 2):
        rate = 0.05
    x = 1.0
    for _ in range(60):
        x -= rate * c * x
    return Claim(
        f"Gradient descent on `{shown(c / 2)} * x^2` with the learning rate {shown(rate)} diverges "
        "from x = 1.",
        rate * c > 2, abs(x) > 1,
        f"After 60 updates |x| is {abs(x):.3g}; the bound is a rate of 2 / {c} = {shown(2 / c)}.",
    )  # fmt: skip


def _valley(drawn: Random) -> Claim:
    condition = drawn.choice((3, 9, 19, 39, 99))
    right = (condition - 1) / (condition + 1)
    said = either(drawn, right, [1 / condition, right**2, (condition - 1) / condition / 2])
    rate, before = 2 / (1 + condition), torch.ones(2, dtype=torch.float64)
    curvature = torch.tensor([1.0, condition], dtype=torch.float64)
    after = before - rate * curvature * before
    shrinks = float(after.norm() / before.norm())
    return Claim(
        f"In a quadratic valley of condition number {condition}, gradient descent with its best "
        f"fixed learning rate multiplies the distance to the minimum by {shown(said)} each step.",
        said == right, close(shrinks, said),
        f"One step along both axes multiplied it by {shrinks:.4g}.",
    )  # fmt: skip


def _last_step(optimizer: torch.optim.Optimizer, w: Tensor, steps: int, gradient: float) -> float:
    """Length of the last of some steps under a constant gradient."""
    before = 0.0
    for _ in range(steps):
        w.grad = torch.full_like(w, gradient)
        before = float(w.detach())
        optimizer.step()
    return abs(float(w.detach()) - before)


def _parameter() -> Tensor:
    return torch.zeros((), dtype=torch.float64, requires_grad=True)


def _momentum(drawn: Random) -> Claim:
    mu = drawn.choice((0.5, 0.8, 0.9, 0.75))
    right = 1 / (1 - mu)
    said = either(drawn, right, [1 / mu, 1 + mu, 2 * right])
    w = _parameter()
    step = _last_step(torch.optim.SGD([w], lr=0.1, momentum=mu), w, 120, 3.0) / 0.3
    return Claim(
        f"Under a constant gradient, momentum of {shown(mu)} makes the steps in the end "
        f"{shown(said)} times as long as those of plain SGD.",
        close(said, right), close(step, said, 1e-3), f"After 120 updates they are {step:.4g} times "
        "as long.",
    )  # fmt: skip


def _adam(drawn: Random) -> Claim:
    rate, gradient = drawn.choice((0.001, 0.01, 0.1)), float(drawn.choice((20, 5, 0.2, 50)))
    said = either(drawn, rate, [rate * gradient, 0.1 * rate])
    w = _parameter()
    step = _last_step(torch.optim.Adam([w], lr=rate), w, 1, gradient)
    return Claim(
        f"Adam's first update with rate {shown(rate)} moves a parameter whose gradient is "
        f"{shown(gradient)} by about {shown(said)}.",
        close(said, rate), close(step, said, 1e-3), f"torch.optim.Adam moves it by {step:.4g}.",
    )  # fmt: skip


def _adagrad(drawn: Random) -> Claim:
    steps = drawn.choice((4, 9, 16, 25, 100))
    said = either(drawn, math.isqrt(steps), [steps, 1])
    w, v = _parameter(), _parameter()
    first = _last_step(torch.optim.Adagrad([w], lr=0.1), w, 1, 2.0)
    ratio = first / _last_step(torch.optim.Adagrad([v], lr=0.1), v, steps, 2.0)
    times = "as long as" if said == 1 else f"{said} times shorter than"
    return Claim(
        f"Under a constant gradient, AdaGrad's update number {steps} is {times} its first.",
        said == math.isqrt(steps), close(ratio, said, 1e-3),
        f"torch.optim.Adagrad's is {ratio:.4g} times shorter.",
    )  # fmt: skip


def _decay(drawn: Random) -> Claim:
    rate, strength = drawn.choice((0.1, 0.2, 0.5)), drawn.choice((0.1, 0.2, 0.5))
    right = 1 - rate * strength
    said = either(drawn, right, [1 - rate, 1 - strength, 1 - 2 * rate * strength])
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate)
    torch.autograd.backward(strength * penalty([w]))
    optimizer.step()
    factor = float(w.detach()) / 2
    return Claim(
        f"With a penalty of lambda/2 times the sum of W^2, lambda = {shown(strength)}, and no data "
        f"loss, an SGD update at rate {shown(rate)} multiplies each weight by {shown(said)}.",
        close(said, right), close(factor, said), f"An update of a weight multiplied it by "
        f"{factor:.4g}.",
    )  # fmt: skip


FACTS = (
    Fact(2, "learning-rate-curves", _diverges),
    Fact(3, "ill-conditioned-valley", _valley),
    Fact(2, "update-rules", _momentum),
    Fact(2, "update-rules", _adam),
    Fact(3, "update-rules", _adagrad),
    Fact(2, "overfitting-cures", _decay),
)
