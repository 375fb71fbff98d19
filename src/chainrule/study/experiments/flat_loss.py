"""Flat loss: the four suspects, each tried by a training of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from chainrule.nn.initializers import initialize
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, fit, generator, net, smoothed
from chainrule.study.measured import Part, mean_of
from chainrule.study.picture import Panel, Picture, Table, curve

_FLAT = 0.05  # a full loss that falls by less than this share of its start is flat
_FALLS = 0.20


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        network: notation.
        steps: updates of each training.
        window: steps over which the loss is averaged at the start and at the end.
        batch: examples per minibatch.
        rate: learning rate of the healthy training (SGD).
        low_rate: the first suspect.
        initial_std: the second: standard deviation of all initial weights.
        penalty: the third: lambda of lambda/2 sum of W^2.
        majority: the fourth: share of one class among the examples.
        saturated: notations of networks for the other wrong scale, which the note tells of.
        large_std: standard deviation of all their initial weights, far too large.
        runs: seeds of each.
    """

    network: str = "FC-64, RELU, FC-64, RELU, FC-10"
    steps: int = 300
    window: int = 10
    batch: int = 64
    rate: float = 0.1
    low_rate: float = 1e-5
    initial_std: float = 1e-3
    penalty: float = 0.5
    majority: float = 0.8
    saturated: tuple[str, ...] = (
        "FC-64, TANH, FC-64, TANH, FC-10",
        "FC-64, SIGMOID, FC-64, SIGMOID, FC-10",
    )
    large_std: float = 10.0
    runs: int = 5


@dataclass(frozen=True)
class _Suspect:
    """A training with at most one thing changed."""

    name: str
    says: str
    flat: bool


_SUSPECTS = (
    _Suspect("healthy", "the healthy training does not stay flat", False),
    _Suspect("learning rate too low", "too low a learning rate keeps it flat", True),
    _Suspect("wrong initial scale", "initial weights on a wrong scale (far too small) keep it flat",
             True),
    _Suspect("strong penalty", "too strong a penalty does not: the full loss falls at first",
             False),
    _Suspect("uneven classes", "uneven classes do not: the loss falls at first", False),
)  # fmt: skip


def measure(setup: Setup, seed: int) -> Outcome:
    """Train the healthy network and one with each suspect; how far does the full loss fall?"""
    losses = {
        suspect.name: [_train(setup, suspect.name, seed + run) for run in range(setup.runs)]
        for suspect in _SUSPECTS
    }
    parts = tuple(_part(setup, suspect, losses[suspect.name]) for suspect in _SUSPECTS)
    notes = (_conclusion(setup, losses), _NOTE, _too_large(setup, seed))
    return Outcome(parts, (_picture(losses),), (_table(setup, losses),), notes)


_NOTE = (
    "The strong penalty ends no better than the flat trainings, at the loss of guessing "
    "(log 10 = 2.303 nats): only the fall at the start tells them apart."
)


def _conclusion(setup: Setup, losses: dict[str, list[list[float]]]) -> str:
    """Which suspects are causes, by what was measured."""
    flat = {
        name: all(_fall(run, setup.window) < _FLAT for run in runs) for name, runs in losses.items()
    }
    causes = [name for name, is_flat in flat.items() if is_flat]
    others = [name for name, is_flat in flat.items() if not is_flat and name != "healthy"]
    return f"Causes of a flat loss: {', '.join(causes) or 'none'}; not: {', '.join(others)}."


def _too_large(setup: Setup, seed: int) -> str:
    """The other wrong scale, in networks that it saturates; not a suspect, for it is not flat."""
    runs = [
        _saturated(setup, text, seed + run) for text in setup.saturated for run in range(setup.runs)
    ]
    falls = [100 * _fall(losses, setup.window) for losses in runs]
    start, end = (
        sum(sum(losses[part]) for losses in runs) / len(runs) / setup.window
        for part in (slice(setup.window), slice(-setup.window, None))
    )
    flat = "keep the loss flat" if max(falls) < 100 * _FLAT else "do not keep the loss flat"
    return (
        f"Initial weights far too large (standard deviation {setup.large_std:g}, all layers of "
        f"tanh and sigmoid nets) {flat}: it falls by {min(falls):.0f} to {max(falls):.0f} %, from "
        f"{start:.0f} to {end:.0f} nats in the mean. The last layer can learn, though those below "
        "are saturated."
    )


def _saturated(setup: Setup, text: str, seed: int) -> list[float]:
    module = initialize(net(text, seed), "normal", std=setup.large_std, generator=generator(seed))
    return fit(
        module, digits(seed=seed), steps=setup.steps, seed=seed, batch=setup.batch, rate=setup.rate
    ).losses


def _train(setup: Setup, suspect: str, seed: int) -> list[float]:
    """The full losses, with only this suspect changed."""
    module = net(setup.network, seed)
    material = digits(seed=seed)
    if suspect == "wrong initial scale":
        initialize(module, "normal", std=setup.initial_std)
    if suspect == "uneven classes":
        material = _uneven(material, setup.majority, seed)
    return fit(
        module, material, steps=setup.steps, seed=seed, batch=setup.batch,
        rate=setup.low_rate if suspect == "learning rate too low" else setup.rate,
        weight_decay=setup.penalty if suspect == "strong penalty" else 0.0,
    ).losses  # fmt: skip


def _uneven(material: Material, majority: float, seed: int) -> Material:
    """The same number of examples, drawn with replacement, of which class 0 has this share."""
    first = material.targets == 0
    weights = torch.where(first, majority / first.sum(), (1 - majority) / (~first).sum())
    random = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(weights, len(first), replacement=True, generator=random)
    return Material(
        material.inputs[chosen], material.targets[chosen],
        material.held_inputs, material.held_targets,
    )  # fmt: skip


def _fall(losses: list[float], window: int) -> float:
    """By which share of its start the loss has fallen."""
    start, end = sum(losses[:window]) / window, sum(losses[-window:]) / window
    return 1 - end / start


def _part(setup: Setup, suspect: _Suspect, runs: list[list[float]]) -> Part:
    falls = [100 * _fall(losses, setup.window) for losses in runs]
    found = mean_of(f"{suspect.name}: fall of the full loss", falls, "%")
    if suspect.flat:
        return Part(suspect.says, found, at_most=100 * _FLAT)
    return Part(suspect.says, found, at_least=100 * _FALLS)


def _means(runs: list[list[float]]) -> Iterator[float]:
    for column in zip(*runs, strict=True):
        yield sum(column) / len(column)


def _picture(losses: dict[str, list[list[float]]]) -> Picture:
    curves = tuple(
        curve(name, smoothed(list(_means(runs))), dashed=name == "wrong initial scale")
        for name, runs in losses.items()
    )
    panel = Panel("Full loss", "step", "full loss over 20 steps (nats)", curves, y_log=True)
    return Picture(
        "The four suspects beside a healthy training",
        "Full loss against the step: flat with the low rate and the wrong initial scale",
        (panel,),
    )


def _table(setup: Setup, losses: dict[str, list[list[float]]]) -> Table:
    rows = []
    for name, runs in losses.items():
        mean = list(_means(runs))
        rows.append((name, mean[0], sum(mean[-setup.window :]) / setup.window))
    return Table(("training", "full loss at the start (nats)", "at the end"), tuple(rows))


EXPERIMENT = Experiment(
    name="flat-loss",
    title="The loss is flat from the start: which of four suspects does that?",
    claim="If the total loss stays flat from the first step, the learning rate may be too low or "
    "the initial weights wrong; too strong a penalty and uneven classes are not the reason.",
    hypothesis="Tiny updates, or tiny gradients, leave the loss where it is. A strong "
    "penalty is itself part of the loss and is minimized at once; with uneven classes the network "
    "learns at once to prefer the frequent one. So both losses fall at first.",
    set_up="{network} on digits, SGD with rate {rate}, minibatches of {batch}, {steps} steps, "
    "{runs} seeds. One thing changed in each training: rate {low_rate}; all initial weights drawn "
    "with standard deviation {initial_std}; penalty lambda = {penalty}; one class has a share of "
    "{majority} of the examples. For a note, {saturated} with all initial weights of standard "
    "deviation {large_std}. Flat: the full loss falls by less than 5 %.",
    setup=Setup(),
    sabotage="the low learning rate is the healthy one, so that it cannot be a cause",
    sabotaged=Setup(low_rate=0.1),
    measure=measure,
    next=(
        "chainrule diagnose examples/broken/predicts_the_mean.py names such causes in a script",
        "make the initial weights far too large in the hidden layers alone: what does the last "
        "layer learn from units that are saturated?",
    ),
    references=(
        "Stanford CS231n, notes on neural networks, part 3: babysitting the learning process",
    ),
)
