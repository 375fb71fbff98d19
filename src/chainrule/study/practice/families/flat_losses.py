"""Which changes keep the full loss flat from the start: by the first gradient, and by training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random

import torch
from torch import nn

from chainrule.nn.initializers import initialize
from chainrule.nn.penalties import full_loss
from chainrule.nn.weighted import weighted_layers
from chainrule.study.lesson import Material, digits, fit, generator, net
from chainrule.study.practice.families.drawing import shown
from chainrule.study.practice.question import Draft, Family, Option

_STEPS, _BATCH, _RATE = 40, 64, 0.1
_NETWORK = "FC-32, RELU, FC-32, RELU, FC-10"
_FLAT = 0.05  # share of the start that a loss must fall by in these steps not to be flat


@dataclass(frozen=True)
class _Change:
    """One thing that differs from the healthy training."""

    kind: str
    value: float

    @property
    def text(self) -> str:
        value = f"{self.value:.0e}" if self.value < 1e-3 else shown(self.value)
        return {
            "rate": f"the learning rate is {value}",
            "scale": f"all initial weights are drawn with standard deviation {value}, biases are 0",
            "penalty": f"the penalty has lambda = {value}",
            "uneven": f"{100 * self.value:.0f} % of the examples belong to one class",
            "asleep": f"all biases of the ReLU layers start at -{value}",
            "examples": f"there are only {self.value:.0f} training examples",
        }[self.kind]


_CHANGES = tuple(
    _Change(kind, value)
    for kind, values in (
        ("rate", (1e-6, 1e-5, 1e-4, 0.2, 0.3)), ("scale", (1e-4, 1e-3, 0.002)),
        ("penalty", (0.5, 0.7, 1.0)), ("uneven", (0.7, 0.8, 0.9)), ("asleep", (20.0, 50.0)),
        ("examples", (64.0, 100.0)),
    )
    for value in values
)  # fmt: skip


@dataclass(frozen=True)
class _Trial:
    """What a change does.

    Attributes:
        steepness: rate times squared norm of the first gradient over the loss: by which share a
            single update lowers the loss to first order.
        fall: by which share of its start it has fallen in the end, by training.
    """

    steepness: float
    fall: float


@lru_cache(maxsize=64)
def _trial(change: _Change) -> _Trial:
    module = net(_NETWORK, 0)
    material = digits(int(change.value) if change.kind == "examples" else None)
    if change.kind == "scale":
        initialize(module, "normal", std=change.value, generator=generator(0))
    if change.kind == "asleep":
        _lower(module, change.value)
    if change.kind == "uneven":
        material = _uneven(material, change.value)
    rate = change.value if change.kind == "rate" else _RATE
    penalty = change.value if change.kind == "penalty" else 0.0
    steepness = _steepness(module, material, rate, penalty)
    losses = fit(module, material, steps=_STEPS, seed=0, batch=_BATCH, rate=rate,
                 weight_decay=penalty).losses  # fmt: skip
    return _Trial(steepness, 1 - sum(losses[-5:]) / sum(losses[:5]))


def _steepness(module: nn.Module, material: Material, rate: float, penalty: float) -> float:
    data = nn.functional.cross_entropy(module(material.inputs), material.targets)
    loss = full_loss(data, module, penalty)
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    return rate * sum(float(item.square().sum()) for item in gradients) / float(loss.detach())


@torch.no_grad()
def _lower(module: nn.Module, depth: float) -> None:
    """Biases of all layers but the last."""
    for _, layer in list(weighted_layers(module))[:-1]:
        assert layer.bias is not None
        layer.bias.fill_(-depth)


def _uneven(material: Material, share: float) -> Material:
    """Examples of which class 0 has this share."""
    first = material.targets == 0
    weights = torch.where(first, share / first.sum(), (1 - share) / (~first).sum())
    chosen = torch.multinomial(weights, 1000, replacement=True, generator=generator(0))
    return Material(material.inputs[chosen], material.targets[chosen],
                    material.held_inputs, material.held_targets)  # fmt: skip


def _flat(drawn: Random, level: int) -> Draft:
    kinds = tuple(dict.fromkeys(change.kind for change in _CHANGES))
    chosen = [
        drawn.choice([change for change in _CHANGES if change.kind == kind])
        for kind in drawn.sample(kinds, 4 if level == 1 else 5)
    ]
    trials = [_trial(change) for change in chosen]
    options = tuple(
        Option(change.text, _small(trial), f"In {_STEPS} updates the full loss "
               f"{'falls' if trial.fall > 0 else 'rises'} by {100 * abs(trial.fall):.2g} %.")
        for change, trial in zip(chosen, trials, strict=True)
    )  # fmt: skip
    return Draft(
        text=f"A healthy training of `{_NETWORK}` on digits, with SGD at the rate {_RATE} and "
        f"minibatches of {_BATCH}, is changed in one thing. Which of these changes, each by "
        f"itself, keeps the full loss flat from the start, over {_STEPS} updates? (Select all.)",
        conventions=("the full loss is data loss plus penalty",
                     f"flat: it falls by less than {100 * _FLAT:.0f} % of its start"),
        options=options,
        several=True,
        proved=tuple(trial.fall < _FLAT for trial in trials),
        way="training with each change",
        solution=(
            "to first order one update lowers the loss by rate * |gradient|^2",
            *(
                f"{change.text}: that is {100 * trial.steepness:.2g} % of the loss at the start"
                for change, trial in zip(chosen, trials, strict=True)
            ),
        ),
        experiment="flat-loss",
    )  # fmt: skip


def _small(trial: _Trial) -> bool:
    """Whether the first gradient promises less than the bound over all the steps."""
    return trial.steepness * _STEPS < _FLAT


FAMILIES = (
    Family("flat-loss", "flat-loss", "what keeps the loss flat from the start", (1, 2), _flat),
)
