"""Learning-rate curves: low, good, high and very high, as loss against epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, fit, generator, loss_of, net
from chainrule.study.measured import Part, median_of, ratio_of
from chainrule.study.picture import Curve, Panel, Picture, Table

_Curves = dict[str, list[list[float]]]  # by rate: of each run, the loss of each epoch
_CLASSES = 10


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        network: notation.
        low: learning rate of the first curve (SGD).
        good: of the second.
        high: of the third.
        very_high: of the fourth.
        noise: share of the examples whose label is redrawn at random.
        epochs: passes over the data.
        last: epochs over which the loss at the end is averaged.
        batch: examples per minibatch.
        runs: seeds of each.
    """

    network: str = "FC-10"
    low: float = 0.0005
    good: float = 0.1
    high: float = 0.5
    very_high: float = 10.0
    noise: float = 0.3
    epochs: int = 20
    last: int = 5
    batch: int = 64
    runs: int = 5


def measure(setup: Setup, seed: int) -> Outcome:
    """Train with each rate; with clean labels again the two whose order is in question."""
    rates = {"low": setup.low, "good": setup.good, "high": setup.high,
             "very high": setup.very_high}  # fmt: skip
    noisy = {name: _curves(setup, rate, setup.noise, seed) for name, rate in rates.items()}
    clean = {name: _curves(setup, rates[name], 0.0, seed) for name in ("good", "high")}
    parts = (*_shapes(setup, noisy), *_orders(setup, noisy, clean))
    note = (
        "With clean labels the same high rate is simply the faster one. A likely reason, not "
        "tested here: where one set of weights fits nearly every example, the noise of the "
        "minibatches dies out with the loss."
    )
    return Outcome(parts, (_picture(noisy, clean),), (_table(noisy, clean),), (note,))


def _curves(setup: Setup, rate: float, noise: float, seed: int) -> list[list[float]]:
    """Of each run: the loss of all examples before training, then each epoch's mean (nats)."""
    return [_curve(setup, rate, noise, run) for run in range(seed, seed + setup.runs)]


def _curve(setup: Setup, rate: float, noise: float, seed: int) -> list[float]:
    material = _relabelled(digits(), noise, seed)
    module = net(setup.network, seed)
    start = loss_of(module, material.inputs, material.targets)
    per_epoch = len(material.inputs) // setup.batch
    losses = fit(
        module, material, steps=setup.epochs * per_epoch, seed=seed,
        batch=setup.batch, rate=rate,
    ).losses  # fmt: skip
    losses += [math.inf] * (setup.epochs * per_epoch - len(losses))  # no longer finite
    epochs = [losses[first : first + per_epoch] for first in range(0, len(losses), per_epoch)]
    return [start, *(sum(epoch) / per_epoch for epoch in epochs)]


def _relabelled(material: Material, share: float, seed: int) -> Material:
    """This share of the labels redrawn, so that no network of this size fits them all."""
    random = generator(seed)
    changed = torch.rand(len(material.targets), generator=random) < share
    drawn = torch.randint(_CLASSES, material.targets.shape, generator=random)
    targets = torch.where(changed, drawn, material.targets)
    return Material(material.inputs, targets, material.held_inputs, material.held_targets)


def _shapes(setup: Setup, curves: _Curves) -> tuple[Part, ...]:
    """The low and the very high curve, and the start of the high one."""

    def fall(run: list[float]) -> float:
        return run[0] - _end(setup, run)

    halves = [_second_half(run) for run in curves["low"]]
    return (
        Part(
            "a low rate is far behind the good one at the end",
            ratio_of("fall of the loss, good over low", _paired(curves, "good", "low", fall)),
            at_least=3,
        ),
        Part(
            "its loss falls about linearly",
            median_of("low rate: fall in the second half over fall in the first", halves, "times"),
            at_least=0.5, at_most=2,
        ),
        Part(
            "a high rate falls faster than the good one at first",
            ratio_of("loss over the first epoch, high over good",
                     _paired(curves, "high", "good", lambda run: run[1])),
            at_most=1,
        ),
        Part(
            "a very high rate makes the loss rise",
            median_of("very high rate: loss at the end over loss at the start",
                      [_end(setup, run) / run[0] for run in curves["very high"]], "times"),
            at_least=1,
        ),
    )  # fmt: skip


def _orders(setup: Setup, noisy: _Curves, clean: _Curves) -> tuple[Part, ...]:
    """Does the high curve stay above the good one?"""
    cases = (
        (f"the data leave a loss that no weights remove ({100 * setup.noise:g} % of the labels "
         "at random)", noisy),
        ("nearly every example can be fitted (clean labels)", clean),
    )  # fmt: skip
    return tuple(
        Part(
            "a high rate ends above the good one",
            ratio_of("loss at the end, high over good",
                     _paired(curves, "high", "good", lambda run: _end(setup, run))),
            at_least=1, when=when,
        )
        for when, curves in cases
    )  # fmt: skip


def _end(setup: Setup, run: list[float]) -> float:
    return sum(run[-setup.last :]) / setup.last


def _second_half(run: list[float]) -> float:
    """What the second half of the epochs takes off, over what the first does."""
    middle = len(run) // 2
    return (run[middle] - run[-1]) / (run[0] - run[middle])


def _paired(
    curves: _Curves, first: str, second: str, what: Callable[[list[float]], float]
) -> list[float]:
    """Ratios within each run: the same weights at the start, the same order of examples."""
    pairs = zip(curves[first], curves[second], strict=True)
    return [what(one) / what(other) for one, other in pairs]


def _drawn(label: str, runs: list[list[float]], *, dashed: bool = False) -> Curve:
    """Mean over runs with their range, from epoch 0 (before training)."""
    columns = list(zip(*runs, strict=True))
    means = tuple(sum(column) / len(column) for column in columns)
    places = tuple(map(float, range(len(columns))))
    low, high = tuple(map(min, columns)), tuple(map(max, columns))
    return Curve(label, places, means, low, high, dashed=dashed)


def _picture(noisy: _Curves, clean: _Curves) -> Picture:
    close = {name: noisy[name] for name in ("good", "high")}
    panels = tuple(
        Panel(title, "epoch", "loss (nats)",
              tuple(_drawn(name, runs) for name, runs in curves.items()),
              y_log=curves is not close)
        for title, curves in (("Some labels at random: all four rates", noisy),
                              ("The same: good and high", close), ("Clean labels", clean))
    )  # fmt: skip
    return Picture(
        "Four learning rates (mean and range of the runs)",
        "Loss against epoch: low falls slowly, good well, high fast and then stays above it, very "
        "high rises; with clean labels the high one ends below the good one",
        panels,
    )


def _table(noisy: _Curves, clean: _Curves) -> Table:
    rows = []
    for labels, curves in (("noisy", noisy), ("clean", clean)):
        for name, runs in curves.items():
            means = [sum(column) / len(column) for column in zip(*runs, strict=True)]
            rows.append((labels, name, means[0], means[1], means[-1]))
    heads = (
        "labels",
        "rate",
        "loss at the start (nats)",
        "in the first epoch",
        "in the last epoch",
    )
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="learning-rate-curves",
    title="What does the curve of the loss say about the learning rate?",
    claim="A low rate gives a curve that falls slowly and about linearly, a good one falls like an "
    "exponential to a low loss, a high one falls faster but then stays at a worse loss, and a very "
    "high one makes the loss rise.",
    hypothesis="Small steps follow the first-order fall rate x |gradient|^2, which hardly changes. "
    "Larger ones get there sooner, but the noise of the minibatches keeps the weights at a "
    "distance that grows with the rate, if there is noise left at the minimum. Above "
    "2 / (largest eigenvalue of the Hessian) every step overshoots by more than it started with.",
    set_up="{network} on digits, SGD with rates {low}, {good}, {high} and {very_high}, minibatches "
    "of {batch}, {epochs} epochs, {runs} seeds; a share of {noise} of the labels redrawn at "
    "random, and rates {good} and {high} once more with clean labels. The loss at the end is the "
    "mean of the last {last} epochs.",
    setup=Setup(),
    sabotage="the very high rate is the good one",
    sabotaged=Setup(very_high=0.1),
    measure=measure,
    next=(
        "chainrule sweep --set network=FC-10 --set data=digits "
        "--grid learning_rate=0.001,0.1,0.5,10",
        "chainrule curvature 'FC-10' --data digits tells the largest rate before training",
    ),
    references=(
        "Stanford CS231n, notes on neural networks, part 3: the loss function as a diagnostic",
    ),
)
