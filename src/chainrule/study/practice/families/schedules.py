"""Schedules of the learning rate, and how far momentum carries a constant gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drafting import enough_mistakes, halves, numbers, shown
from chainrule.study.practice.question import LEVELS, Draft, Family
from chainrule.training.schedule import Schedule

_SETTLED = 1e-9  # what is left of a geometric series where it counts as ended


@enough_mistakes
def _schedule(drawn: Random, level: int) -> Draft:
    """Falls by steps (level 1), a cosine (level 2), a cosine behind a warm-up (level 3)."""
    return _falling(drawn) if level == 1 else _cosine(drawn, level)


def _falling(drawn: Random) -> Draft:
    every, by = drawn.choice((10, 20, 25, 30, 50)), drawn.choice((0.1, 0.2, 0.5, 0.8))
    falls = drawn.choice((1, 2, 3))
    epoch = falls * every + drawn.choice((0, every // 2, every - 1))
    factor = Schedule("step", 1000, step_every=every, step_factor=by).factor(epoch)
    return Draft(
        text=f"The learning rate is multiplied by {shown(by)} every {every} epochs. How many per "
        f"cent of its first value is it in epoch {epoch}?",
        conventions=("epochs are counted from 0", f"the first fall comes just before epoch {every}",
                     "an answer of 25 means 25 %"),
        expected=Number(100 * factor, "%"),
        proved=100 * _scheduled(lambda rule: StepLR(rule, every, by), epoch),
        way="PyTorch's StepLR",
        mistakes=numbers(
            (100 * by ** (falls + 1), "counts one fall too many"),
            (100 * by ** (falls - 1), "counts one fall too few"),
            (100 * (1 - by) ** falls, "takes that share away instead of keeping it"),
            (100 * by ** (epoch / every), "lets the rate fall a little in every epoch"),
            (100 * by / falls, "divides by the number of falls"),
            (100 * by * falls, "adds the factors up"),
        ),
        solution=(f"{epoch} / {every}, rounded down: {falls} {_plural(falls, 'fall')} so far",
                  f"{shown(by)}^{falls} = {shown(factor)}, so {shown(100 * factor)} %"),
    )  # fmt: skip


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _scheduled(make: Callable[[Optimizer], LRScheduler], epochs: int) -> float:
    """The share of the first learning rate that is left after some epochs."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer)
    for _ in range(epochs):
        optimizer.step()
        schedule.step()
    return float(optimizer.param_groups[0]["lr"])


def _cosine(drawn: Random, level: int) -> Draft:
    warmup = drawn.choice((5, 10, 20)) if level == 3 else 0
    floor = drawn.choice((0.1, 0.2, 0.01)) if level == 3 else 0.0
    falling = drawn.choice((20, 30, 40, 50, 60, 100))
    done = drawn.randint(falling // 5, 4 * falling // 5)
    total, epoch = warmup + falling, warmup + done
    cosine = Schedule("cosine", total, warmup=warmup).factor(epoch)
    share = floor + (1 - floor) * cosine
    begun = (
        f"rises over the first {warmup} epochs to its largest value, which it has in epoch "
        f"{warmup}, then falls along half a cosine, in {falling} epochs, to {shown(100 * floor)} % "
        "of it" if warmup else f"falls from its first value to 0 along half a cosine, in {falling} "
        "epochs"
    )  # fmt: skip
    of = "largest" if warmup else "first"

    def at(part: float, low: float = floor) -> float:
        return 100 * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * part)))

    return Draft(
        text=f"The learning rate {begun}. How many per cent of its {of} value is it in epoch "
        f"{epoch}?",
        conventions=("epochs are counted from 0",
                     "half a cosine: `(1 + cos(pi*t))/2` with t from 0 to 1",
                     "an answer of 25 means 25 %"),
        expected=Number(100 * share, "%"),
        proved=100 * _scheduled(lambda rule: CosineAnnealingLR(rule, falling, floor), done),
        way="PyTorch's CosineAnnealingLR",
        mistakes=numbers(
            (100 * (floor + (1 - floor) * (1 - done / falling)), "lets it fall along a line"),
            (100 * (1 - share), "gives what is gone, not what is left"),
            (100 * math.cos(math.pi / 2 * done / falling), "takes a quarter of a cosine"),
            (at(done / falling / 2), "divides by 2 once too often"),
            *([(at(epoch / total), "counts the epochs of the warm-up as part of the cosine"),
               (at(done / falling, 0.0), "forgets the lowest value"),
               (at(done / falling, 0.0) + 100 * floor,
                "adds the lowest value without shrinking the cosine")] if warmup else
              [(at((done + 1) / falling), "counts one epoch too many")]),
        ),
        solution=(
            f"t = {done}/{falling} = {shown(done / falling)}, (1 + cos(pi t))/2 = {shown(cosine)}",
            f"{shown(floor)} + {shown(1 - floor)} x {shown(cosine)} = {shown(share)}, so "
            f"{shown(100 * share)} %" if warmup else f"so {shown(100 * share)} %",
        ),
    )  # fmt: skip


@enough_mistakes
def _constant_gradient(drawn: Random, level: int) -> Draft:
    """The step that momentum comes to (1), its velocity on the way (2), how soon (3)."""
    mu = drawn.choice((0.5, 0.6, 0.75, 0.8, 0.9))
    if level == 3:
        return _reached(drawn)
    rate = drawn.choice((0.1, 0.2, 0.5, 1.0))
    g = halves(drawn, 1, 6)
    steps = math.ceil(math.log(_SETTLED) / math.log(mu)) if level == 1 else drawn.randint(2, 6)
    grown = (1 - mu**steps) / (1 - mu)
    right = rate * g * (1 / (1 - mu) if level == 1 else grown)
    when = "in a single step, after very many," if level == 1 else f"in step {steps}"
    return Draft(
        text=f"A parameter gets the same gradient {shown(g)} in every step. How far does momentum "
        f"move it {when} with learning rate `a = {shown(rate)}` and `mu = {shown(mu)}`?",
        conventions=("PyTorch's form: `v = mu*v + g; w = w - a*v`, v starts at 0",
                     "the length of that step alone, above 0"),
        expected=Number(right),
        proved=_last_step(g, rate, mu, steps),
        way="torch.optim in float64",
        mistakes=numbers(
            (rate * g, "forgets the velocity"),
            (rate * g * (1 + mu), "adds the last gradient alone"),
            (rate * g / mu if level == 1 else rate * g / (1 - mu),
             "divides by mu instead of 1 - mu" if level == 1 else "gives the step after very many"),
            (rate * g * (1 - mu), "multiplies by 1 - mu"),
            (g / (1 - mu) if level == 1 else g * grown, "forgets the learning rate"),
            (rate * g * mu if level == 1 else rate * g * (1 - mu**steps),
             "takes mu of the gradient" if level == 1 else "takes an average for a sum"),
        ),
        solution=(
            "v = g + mu*g + mu^2*g + ..., a geometric series",
            f"v = {shown(g)}/(1 - {shown(mu)}) = {shown(g / (1 - mu))}" if level == 1 else
            f"v = {shown(g)} x (1 - {shown(mu)}^{steps})/(1 - {shown(mu)}) = {shown(g * grown)}",
            f"times {shown(rate)}: {shown(right)}",
        ),
        experiment="update-rules",
    )  # fmt: skip


def _last_step(g: float, rate: float, mu: float, steps: int) -> float:
    """How far torch.optim moves a parameter in the last of some steps."""
    weight = torch.zeros((), dtype=torch.float64, requires_grad=True)
    weight.grad = torch.tensor(g, dtype=torch.float64)
    optimizer = SGD([weight], lr=rate, momentum=mu, foreach=False)
    before = 0.0
    for _ in range(steps):
        before = weight.item()
        optimizer.step()
    return before - weight.item()


def _reached(drawn: Random) -> Draft:
    """Steps until the velocity has a share of its limit, nowhere near a whole number."""
    while True:
        mu = drawn.choice((0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95))
        share = drawn.choice((0.5, 0.75, 0.8, 0.9, 0.95, 0.99))
        exact = math.log(1 - share) / math.log(mu)
        steps = math.ceil(exact)
        if steps > 2 and 0.02 < steps - exact < 0.98:
            break
    return Draft(
        text=f"Every gradient is the same. In which step (the first is 1) does the velocity of "
        f"momentum with `mu = {shown(mu)}` first reach {shown(100 * share)} % of the value that it "
        "tends to?",
        conventions=("PyTorch's form: `v = mu*v + g`, v starts at 0",),
        expected=Number(steps),
        proved=_first_step(mu, share),
        way="a loop over the steps",
        mistakes=numbers(
            (steps - 1, "rounds down"),
            (steps + 1, "counts the start as a step"),
            (math.ceil(1 / (1 - mu)), "takes 1/(1 - mu) steps, whatever share is wanted"),
            (max(1, math.ceil(math.log(share) / math.log(mu))), "waits until mu^t is the share"),
            (math.ceil(share / (1 - mu)), "lets the velocity grow along a line"),
        ),
        solution=(
            f"v after t steps has the share 1 - {shown(mu)}^t of its limit g/(1 - {shown(mu)})",
            f"{shown(mu)}^t <= {shown(1 - share)}: t >= ln {shown(1 - share)} / ln {shown(mu)} = "
            f"{shown(exact)}",
            f"so t = {steps}",
        ),
        experiment="update-rules",
    )


def _first_step(mu: float, share: float) -> int:
    """The step at which the velocity has that share of what it has after very many."""
    velocities = [0.0]
    for _ in range(1600):
        velocities.append(mu * velocities[-1] + 1)
    return next(step for step, v in enumerate(velocities) if v >= share * velocities[-1])


SCHEDULES = (
    Family("learning-rate-schedule", "update-rules", "learning rate by schedule", LEVELS,
           _schedule),
    Family("momentum-limit", "update-rules", "momentum on a constant gradient", LEVELS,
           _constant_gradient),
)  # fmt: skip
