"""Batchnorm as a regularizer: what the noise of small minibatches does to the gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, fit, generator, loss_of, net
from chainrule.study.measured import Measured, Part, mean_of, ratio_of
from chainrule.study.picture import Curve, Panel, Picture, Table

_LOOK_EVERY = 10  # updates between two looks at the losses
_BAND = 2.0  # losses from half the aim to twice the aim tell what the gap is at the aim
_DRAWS = 100  # minibatches whose means are compared
_LOWER = 0.999  # what is less than a thousandth is no change

Point = tuple[float, float]


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        plain: notation without batch normalization.
        normalized: the same with it.
        examples: in the training set.
        batches: examples per minibatch, each tried.
        rate: learning rate (SGD).
        aim: data loss of the training set (nats) at which all are compared.
        most_steps: updates after which a training is given up.
        statistics: whose mean and variance normalize: of the "minibatch", or of "all" examples.
        runs: seeds.
    """

    plain: str = "FC-64, RELU, FC-64, RELU, FC-10"
    normalized: str = "FC-64, BN, RELU, FC-64, BN, RELU, FC-10"
    examples: int = 100
    batches: tuple[int, ...] = (4, 16, 64)
    rate: float = 0.05
    aim: float = 0.2
    most_steps: int = 2000
    statistics: str = "minibatch"
    runs: int = 7


class Quiet(nn.Module):
    """A network whose batch normalization hardly feels the minibatch.

    In training all examples go through it with the minibatch, so that mean and variance are
    (nearly) theirs; only the scores of the minibatch come out.

    Args:
        module: the network.
        inputs: all training examples, (N, ...).
    """

    def __init__(self, module: nn.Module, inputs: Tensor) -> None:
        super().__init__()
        self.module, self.inputs = module, inputs

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            alone: Tensor = self.module(x)
            return alone
        together: Tensor = self.module(torch.cat([x, self.inputs]))
        return together[: len(x)]


def measure(setup: Setup, seed: int) -> Outcome:
    """Gaps at the same training loss: no batchnorm, batchnorm, batchnorm without its noise."""
    seeds = range(seed, seed + setup.runs)
    gaps = {
        (kind, batch): [_gap_at_aim(setup, kind, batch, one) for one in seeds]
        for batch in setup.batches
        for kind in ("no batchnorm", "batchnorm", "without its noise")
    }
    parts = (
        _noise_part(setup, seeds),
        *(_own_part(gaps, batch) for batch in setup.batches),
        *(_plain_part(gaps, batch) for batch in setup.batches),
    )
    notes = (
        "Against a network without batchnorm more than noise is at work: without noise the gap "
        "with batchnorm is the wider one at the same training loss, and the less noise there is "
        "(the larger the minibatch), the less makes up for that.",
    )
    return Outcome(parts, (_picture(setup, gaps),), (_table(setup, gaps),), notes)


def built(setup: Setup, kind: str, material: Material, seed: int) -> nn.Module:
    """The network of one of the three kinds; the same seed gives the same weights."""
    if kind == "no batchnorm":
        return net(setup.plain, seed)
    module = net(setup.normalized, seed)
    quiet = kind == "without its noise" or setup.statistics == "all"
    return Quiet(module, material.inputs) if quiet else module


def settle(module: nn.Module, inputs: Tensor) -> None:
    """Let the running statistics be those of all examples: they play no part in training."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm1d)]
    for layer in layers:
        layer.momentum = 1.0
    if layers:
        with torch.no_grad():
            module(inputs)


def _gap_at_aim(setup: Setup, kind: str, batch: int, seed: int) -> float:
    """Loss of the held-back examples less that of the training examples, at the aim (nats)."""
    material = digits(setup.examples, seed)
    module = built(setup, kind, material, seed)
    found: list[Point] = []

    def look(step: int, module: nn.Module) -> None:
        if step % _LOOK_EVERY:
            return
        settle(module, material.inputs)
        train = loss_of(module, material.inputs, material.targets)
        found.append((train, loss_of(module, material.held_inputs, material.held_targets)))
        if sum(loss < setup.aim for loss, _ in found) > 2:
            raise _Reached

    with suppress(_Reached):
        fit(module, material, steps=setup.most_steps, seed=seed, batch=batch, rate=setup.rate,
            watch=look)  # fmt: skip
    return gap_at(found, setup.aim)


class _Reached(Exception):  # noqa: N818 - no error: the training has come far enough
    """The training loss has been below the aim a few times."""


def gap_at(points: Sequence[Point], aim: float) -> float:
    """The gap where the training loss is ``aim``: a line through its logarithm near there.

    Args:
        points: (training loss, held-back loss) in nats, along a training.
        aim: training loss in nats.

    Examples:
        >>> round(gap_at([(0.4, 0.5), (0.1, 0.5)], 0.2), 3)  # gaps 0.1 and 0.4
        0.2
    """
    train, held = np.array(points).T
    places = np.log(train / aim)
    near = np.abs(places) <= math.log(_BAND) + 1e-9
    if near.sum() < 2:
        return math.nan
    line = np.polyfit(places[near], np.log(held[near] - train[near]), 1)
    return float(np.exp(line[1]))


def noise_of_means(module: nn.Module, inputs: Tensor, batch: int, seed: int) -> float:
    """How the mean that the first batchnorm subtracts varies from minibatch to minibatch.

    Args:
        module: a network with batch normalization, in training mode.
        inputs: (N, ...), from which minibatches are drawn without replacement.
        batch: examples per minibatch.
        seed: of the draws.

    Returns:
        its standard deviation, in standard deviations of the examples (root mean square over
        the units).
    """
    seen: list[Tensor] = []
    layer = next(item for item in module.modules() if isinstance(item, nn.BatchNorm1d))
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].double()))
    random = generator(seed)
    with torch.no_grad():
        for _ in range(_DRAWS):
            module(inputs[torch.randperm(len(inputs), generator=random)[:batch]])
        means = torch.stack([item.mean(0) for item in seen])
        module(inputs)
    hook.remove()
    return float((means.var(0).sum() / seen[-1].var(0, unbiased=False).sum()).sqrt())


def predicted_noise(count: int, batch: int) -> float:
    """Of the mean of ``batch`` out of ``count`` examples, drawn without replacement.

    Examples:
        >>> predicted_noise(100, 100), round(predicted_noise(10**9, 4), 3)
        (0.0, 0.5)
    """
    return math.sqrt((count - batch) / (count - 1) / batch)


def _noise_part(setup: Setup, seeds: Sequence[int]) -> Part:
    shares = []
    for seed in seeds:
        material = digits(setup.examples, seed)
        module = built(setup, "batchnorm", material, seed)
        pairs = [
            noise_of_means(module, material.inputs, batch, seed)
            / predicted_noise(setup.examples, batch)
            for batch in setup.batches
        ]
        shares.append(sum(pairs) / len(pairs))
    found = mean_of("noise of the mean / predicted one", shares, "times")
    return Part("the mean of a minibatch is as noisy as the formula says", found, 0.9, 1.1)


def _own_part(gaps: dict[tuple[str, int], list[float]], batch: int) -> Part:
    found = _ratio(f"gap / gap without the noise, minibatches of {batch}",
                   gaps["batchnorm", batch], gaps["without its noise", batch])  # fmt: skip
    return Part("the noise lowers the gap at the same training loss", found, at_most=_LOWER,
                when="batchnorm is compared with itself without the noise")  # fmt: skip


def _plain_part(gaps: dict[tuple[str, int], list[float]], batch: int) -> Part:
    found = _ratio(f"gap / gap without batchnorm, minibatches of {batch}",
                   gaps["batchnorm", batch], gaps["no batchnorm", batch])  # fmt: skip
    return Part("batchnorm lowers the gap at the same training loss", found, at_most=_LOWER,
                when=f"batchnorm is compared with none in minibatches of {batch}")  # fmt: skip


def _ratio(name: str, above: Sequence[float], below: Sequence[float]) -> Measured:
    """Paired by seed."""
    return ratio_of(name, [one / other for one, other in zip(above, below, strict=True)])


def _picture(setup: Setup, gaps: dict[tuple[str, int], list[float]]) -> Picture:
    places = tuple(map(float, range(len(setup.batches))))
    names = tuple(map(str, setup.batches))
    curves = []
    for kind in ("no batchnorm", "batchnorm", "without its noise"):
        found = [mean_of(kind, gaps[kind, batch]) for batch in setup.batches]
        label = "batchnorm without its noise" if kind == "without its noise" else kind
        curves.append(
            Curve(label, places, tuple(one.value for one in found),
                  tuple(one.low for one in found), tuple(one.high for one in found))
        )  # fmt: skip
    noise = Curve(
        "", places, tuple(predicted_noise(setup.examples, batch) for batch in setup.batches)
    )
    panels = (
        Panel("Gap at the same training loss", "examples per minibatch", "gap of the loss (nats)",
              tuple(curves), categories=names),
        Panel("Noise of the mean of a minibatch", "examples per minibatch",
              "standard deviations of the examples", (noise,), categories=names),
    )  # fmt: skip
    return Picture(
        f"What batchnorm does to the gap when the training loss is {setup.aim} nats (bands: "
        "intervals over seeds; the verdict compares seed by seed)",
        "Gap against the size of the minibatch: with batchnorm it grows with the size as the "
        "noise goes, and meets the one without noise",
        panels,
    )


def _table(setup: Setup, gaps: dict[tuple[str, int], list[float]]) -> Table:
    rows = []
    for batch in setup.batches:
        plain, own, quiet = (
            gaps[kind, batch] for kind in ("no batchnorm", "batchnorm", "without its noise")
        )
        rows.append((batch, predicted_noise(setup.examples, batch),
                     _ratio("", own, quiet).value, _ratio("", own, plain).value))  # fmt: skip
    heads = (
        "examples per minibatch",
        "noise of its mean (standard deviations)",
        "gap / gap without the noise (times)",
        "gap / gap without batchnorm (times)",
    )
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="batchnorm-regularizes",
    title="Does batch normalization regularize?",
    claim="Batch normalization also regularizes: an example is normalized by the statistics of "
    "the minibatch that it happens to be in, and that noise, like that of dropout, narrows "
    "the gap.",
    hypothesis="The mean of B of N examples has a standard deviation of sqrt((N - B) / (N - 1) / "
    "B) of theirs: half of it for B = 4, nearly nothing for large minibatches. With the noise the "
    "gap between training and validation should be smaller, the more so the smaller B.",
    set_up="{normalized} on {examples} digits, SGD with rate {rate} and minibatches of "
    "{batches}, {runs} seeds, normalized by the statistics of the {statistics}. Beside it, with "
    "the same weights and order: the same network with all training examples in its statistics "
    "(no noise), and {plain}. The gap is read where the training loss, in evaluation mode with "
    "the statistics of all training examples, is {aim} nats.",
    setup=Setup(),
    sabotage="the statistics are those of all training examples: no noise is left",
    sabotaged=Setup(statistics="all"),
    measure=measure,
    next=(
        "take minibatches of 2: every unit then gives +1 or -1 before scale and shift",
        "chainrule train 'FC-64, BN, RELU, FC-10' --data digits --batch-size 4",
    ),
    references=(
        "S. Ioffe and C. Szegedy, Batch normalization: accelerating deep network training by "
        "reducing internal covariate shift, ICML 2015",
        "P. Luo et al., Towards understanding regularization in batch normalization, ICLR 2019",
        "Stanford CS231n, notes on neural networks, part 2: batch normalization",
    ),
)
