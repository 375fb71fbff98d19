"""Stepping: update rules on one parameter by their formulas, known slips of them, torch.optim."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from chainrule.study.practice.families.drafting import factor, shown

State = tuple[float, float]
Rule = Callable[[State, float, int, "Settings"], tuple[State, float, str]]
"""(state, gradient, number of the step from 1, settings) to (state, what w loses, in words)."""


@dataclass(frozen=True)
class Settings:
    """The numbers of an update rule."""

    rate: float
    momentum: float = 0.9
    decay: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    velocity: float = 0.0


@dataclass(frozen=True)
class Walk:
    """A parameter, and where its gradients come from: given ones, or `scale*(w - low)^2`."""

    start: float
    steps: int
    gradients: tuple[float, ...] = ()
    scale: float = 0.0
    low: float = 0.0

    def gradient(self, step: int, w: float) -> float:
        return self.gradients[step] if self.gradients else 2 * self.scale * (w - self.low)

    @property
    def loss(self) -> str:
        inside = f"(w {'-' if self.low > 0 else '+'} {shown(abs(self.low))})^2"
        inside = inside if self.low else "w^2"
        return inside if self.scale == 1 else f"{shown(self.scale)}*{inside}"


def sgd(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    return state, s.rate * g, f"{shown(s.rate)} x {factor(g)}"


def momentum(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    v = s.momentum * state[0] + g
    told = f"v = {shown(s.momentum)} x {factor(state[0])} + {factor(g)} = {shown(v)}"
    return (v, 0.0), s.rate * v, f"{told}, {shown(s.rate)} x {factor(v)}"


def nesterov(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    v = s.momentum * state[0] + g
    told = f"v = {shown(s.momentum)} x {factor(state[0])} + {factor(g)} = {shown(v)}"
    return (v, 0.0), s.rate * (g + s.momentum * v), (
        f"{told}, {shown(s.rate)} x ({shown(g)} + {shown(s.momentum)} x {factor(v)})"
    )  # fmt: skip


def adagrad(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    c = state[1] + g * g
    told = f"c = {shown(state[1])} + {factor(g)}^2 = {shown(c)}"
    return (0.0, c), s.rate * g / (math.sqrt(c) + s.eps), _over_root(told, s.rate, g, c, "c")


def rmsprop(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    c = s.decay * state[1] + (1 - s.decay) * g * g
    told = (
        f"c = {shown(s.decay)} x {shown(state[1])} + {shown(1 - s.decay)} x {factor(g)}^2 "
        f"= {shown(c)}"
    )
    return (0.0, c), s.rate * g / (math.sqrt(c) + s.eps), _over_root(told, s.rate, g, c, "c")


def adam(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    m = s.beta1 * state[0] + (1 - s.beta1) * g
    v = s.beta2 * state[1] + (1 - s.beta2) * g * g
    mean, square = m / (1 - s.beta1**step), v / (1 - s.beta2**step)
    told = f"m = {shown(m)}, v = {shown(v)}, corrected {shown(mean)} and {shown(square)}"
    lost = s.rate * mean / (math.sqrt(square) + s.eps)
    return (m, v), lost, _over_root(told, s.rate, mean, square, "v")


def _over_root(told: str, rate: float, g: float, c: float, name: str) -> str:
    return f"{told}, {shown(rate)} x {factor(g)}/(sqrt({shown(c)}) + eps)"


# -- known slips of them


def averaged(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    v = s.momentum * state[0] + (1 - s.momentum) * g
    return (v, 0.0), s.rate * v, ""


def lagging(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    return (s.momentum * state[0] + g, 0.0), s.rate * state[0], ""


def unrooted(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    """AdaGrad without its root."""
    c = state[1] + g * g
    return (0.0, c), s.rate * g / (c + s.eps), ""


def unrooted_rmsprop(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    c = s.decay * state[1] + (1 - s.decay) * g * g
    return (0.0, c), s.rate * g / (c + s.eps), ""


def unsquared(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    """AdaGrad that sums absolute gradients."""
    c = state[1] + abs(g)
    return (0.0, c), s.rate * g / (math.sqrt(c) + s.eps), ""


def swapped(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    """RMSProp whose decay weighs the new square."""
    return rmsprop(state, g, step, replace(s, decay=1 - s.decay))


def uncorrected(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    """Adam without the correction of its start at 0."""
    m = s.beta1 * state[0] + (1 - s.beta1) * g
    v = s.beta2 * state[1] + (1 - s.beta2) * g * g
    return (m, v), s.rate * m / (math.sqrt(v) + s.eps), ""


def half_corrected(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    """Adam that corrects m alone."""
    m = s.beta1 * state[0] + (1 - s.beta1) * g
    v = s.beta2 * state[1] + (1 - s.beta2) * g * g
    return (m, v), s.rate * m / (1 - s.beta1**step) / (math.sqrt(v) + s.eps), ""


def unrooted_adam(state: State, g: float, step: int, s: Settings) -> tuple[State, float, str]:
    m = s.beta1 * state[0] + (1 - s.beta1) * g
    v = s.beta2 * state[1] + (1 - s.beta2) * g * g
    return (m, v), s.rate * m / (1 - s.beta1**step) / (v / (1 - s.beta2**step) + s.eps), ""


def walked(rule: Rule, walk: Walk, settings: Settings) -> tuple[list[float], list[str]]:
    """The parameter after each step, and each step in words."""
    w, state = walk.start, (settings.velocity, 0.0)
    places, lines = [], []
    for step in range(walk.steps):
        g = walk.gradient(step, w)
        begun = w
        if settings.decoupled:
            w -= settings.rate * settings.weight_decay * w
        else:
            g += settings.weight_decay * begun
        state, lost, told = rule(state, g, step + 1, settings)
        shrunk = w
        w -= lost
        places.append(w)
        told, _, last = told.rpartition(", ")
        lines.append(
            f"step {step + 1}: g = {shown(g)}, {told + ', ' if told else ''}"
            f"w = {shown(shrunk)} - {last} = {shown(w)}"
        )
    return places, lines


def end(rule: Rule, walk: Walk, settings: Settings) -> float:
    """Where the parameter comes to."""
    return walked(rule, walk, settings)[0][-1]


def stepped_by_pytorch(name: str, walk: Walk, s: Settings) -> float:
    """The same steps taken by ``torch.optim`` in float64."""
    weight = torch.tensor(walk.start, dtype=torch.float64, requires_grad=True)
    optimizer = _optimizer(name, weight, s)
    if s.velocity:
        optimizer.state[weight]["momentum_buffer"] = torch.tensor(s.velocity).double()
    for step in range(walk.steps):
        if walk.gradients:
            weight.grad = torch.tensor(walk.gradients[step]).double()
        else:
            loss = walk.scale * (weight - walk.low) ** 2
            weight.grad = torch.autograd.grad(loss, weight)[0]
        optimizer.step()
    return weight.item()


def _optimizer(name: str, weight: torch.Tensor, s: Settings) -> torch.optim.Optimizer:
    rate, decay = s.rate, s.weight_decay
    if name in ("sgd", "momentum", "nesterov"):
        moved = 0.0 if name == "sgd" else s.momentum
        nesterov = name == "nesterov"
        return torch.optim.SGD([weight], rate, moved, weight_decay=decay, nesterov=nesterov)
    if name == "adagrad":
        return torch.optim.Adagrad([weight], rate, weight_decay=decay, eps=s.eps)
    if name == "rmsprop":
        return torch.optim.RMSprop([weight], rate, s.decay, s.eps, weight_decay=decay)
    kind = torch.optim.AdamW if s.decoupled else torch.optim.Adam
    return kind([weight], rate, (s.beta1, s.beta2), s.eps, weight_decay=decay)
