"""Noisy gradients: how near to the minimum SGD comes, and what brings it nearer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, generator
from chainrule.study.measured import Part, mean_of, ratio_of
from chainrule.study.picture import Curve, Panel, Picture, Table, curve

_CLASSES = 10
_Rate = Callable[[int], float]  # of the step, from 0


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        rates: constant learning rates on the quadratic, falling by factors of four.
        batch: examples per minibatch.
        larger: the larger minibatch.
        fall_after: steps after which the falling rate (the first of ``rates``) is half.
        steps: updates on the quadratic.
        chains: independent paths of each run on the quadratic.
        digits_rate: learning rate on the digits; also a quarter of it.
        digits_fall: as ``fall_after``, on the digits.
        digits_steps: updates on the digits.
        penalty: lambda of lambda/2 sum of W^2 on the digits.
        few: examples that one W fits exactly (without penalty).
        runs: of each.
    """

    rates: tuple[float, ...] = (0.4, 0.1, 0.025)
    batch: int = 16
    larger: int = 64
    fall_after: float = 20.0
    steps: int = 2000
    chains: int = 400
    digits_rate: float = 0.04
    digits_fall: float = 200.0
    digits_steps: int = 2000
    penalty: float = 0.1
    few: int = 20
    runs: int = 5


def _constant(rate: float) -> _Rate:
    return lambda step: rate


def _falling(rate: float, half_after: float) -> _Rate:
    return lambda step: rate / (1 + step / half_after)


def measure(setup: Setup, seed: int) -> Outcome:
    """On a quadratic whose law is known, then on least squares of the digits."""
    chains = _quadratics(setup, seed)
    squares = {name: [] for name in _digits_cases(setup)}  # type: dict[str, list[list[float]]]
    for run in range(seed, seed + setup.runs):
        for name, excess in _on_digits(setup, run).items():
            squares[name].append(excess)
    parts = (*_laws(setup, chains), *_real(squares), *_circumstances(setup, squares))
    note = (
        "The noise that keeps SGD away is the disagreement of the examples at the minimum: where "
        "one W fits every example there is none, and a constant rate goes all the way."
    )
    pictures = (_picture(setup, chains), _digits_picture(squares))
    return Outcome(parts, pictures, (_table(setup, chains),), (note,))


def chain(setup: Setup, rate: _Rate, batch: int, seed: int) -> Tensor:
    """Mean w^2 over the chains at every step (steps, runs), on w^2/2 from w = 3.

    An example's gradient is w plus noise of variance 1, a minibatch's w plus 1/batch of that.
    """
    random, found = generator(seed), []
    place = torch.full((setup.runs, setup.chains), 3.0, dtype=torch.float64)
    for step in range(setup.steps):
        drawn = torch.randn(place.shape, generator=random, dtype=torch.float64)
        place = place - rate(step) * (place + drawn / math.sqrt(batch))
        found.append(place.square().mean(1))
    return torch.stack(found)


def stationary(rate: float, batch: int) -> float:
    """The variance at which rate^2/batch comes in as fast as (1 - rate)^2 takes it away."""
    return rate / (batch * (2 - rate))


def _quadratics(setup: Setup, seed: int) -> dict[str, Tensor]:
    """Mean w^2 (steps, runs) by case; each with noise of its own."""
    cases: list[tuple[str, _Rate, int]] = [
        (f"rate {rate:g}", _constant(rate), setup.batch) for rate in setup.rates
    ]
    first = setup.rates[0]
    cases.append(("larger minibatch", _constant(first), setup.larger))
    cases.append(("falling rate", _falling(first, setup.fall_after), setup.batch))
    seeds = range(1000 * seed, 1000 * seed + len(cases))
    return {
        name: chain(setup, rate, batch, own)
        for (name, rate, batch), own in zip(cases, seeds, strict=True)
    }


def _laws(setup: Setup, chains: dict[str, Tensor]) -> tuple[Part, ...]:
    """What is known in closed form."""
    settled = {name: way[len(way) // 2 :].mean(0) for name, way in chains.items()}
    large, small = (settled[f"rate {rate:g}"] for rate in (setup.rates[0], setup.rates[-1]))
    ratios = [
        value / stationary(rate, setup.batch)
        for rate in setup.rates
        for value in settled[f"rate {rate:g}"].tolist()
    ]
    return (
        Part("the mean squared distance is rate/(B (2 - rate)) on the quadratic",
             ratio_of("measured over closed form", ratios), at_least=0.95, at_most=1.05),
        Part("it grows with the rate",
             ratio_of(f"distance at rate {setup.rates[0]:g} over {setup.rates[-1]:g}",
                      (large / small).sqrt().tolist()), at_least=2),
        Part("with a constant rate the distance stays",
             mean_of("power of the step in the distance, constant rate",
                     _powers(chains[f"rate {setup.rates[0]:g}"])), at_least=-0.1, at_most=0.1),
        Part("with a falling rate it goes on falling, as 1/sqrt(steps)",
             mean_of("power of the step in the distance, falling rate",
                     _powers(chains["falling rate"])), at_least=-0.6, at_most=-0.4),
        Part(f"minibatches {setup.larger / setup.batch:g} times as large halve it",
             ratio_of("distance, small minibatch over large",
                      (large / settled["larger minibatch"]).sqrt().tolist()),
             at_least=1.8, at_most=2.2),
    )  # fmt: skip


def _powers(way: Tensor) -> list[float]:
    """Of each run, slope of log distance against log step from an eighth of the steps on.

    Each of the two ends is a mean over a quarter of its own step number.
    """
    late, early = _around(way, len(way)), _around(way, len(way) // 8)
    slopes: list[float] = ((late / early).log() / 2 / math.log(8)).tolist()
    return slopes


def _around(way: Tensor, step: int) -> Tensor:
    return way[step - step // 4 : step].mean(0)


def _digits_cases(setup: Setup) -> dict[str, tuple[_Rate, int]]:
    """By name: rate and minibatch."""
    rate = setup.digits_rate
    return {
        "constant rate": (_constant(rate), setup.batch),
        "a quarter of the rate": (_constant(rate / 4), setup.batch),
        "falling rate": (_falling(rate, setup.digits_fall), setup.batch),
        "larger minibatch": (_constant(rate), setup.larger),
        "few examples": (_constant(rate), setup.batch),
    }


def _on_digits(setup: Setup, seed: int) -> dict[str, list[float]]:
    """Excess loss at every step, by case."""
    found = {}
    for place, (name, (rate, batch)) in enumerate(_digits_cases(setup).items()):
        few = name == "few examples"
        material = digits(setup.few, seed) if few else digits()
        inputs, wanted = _matrices(material)
        found[name] = least_squares(
            inputs, wanted, 0.0 if few else setup.penalty, rate, batch, setup.digits_steps,
            generator(1000 * seed + 500 + place),
        )  # fmt: skip
    return found


def _matrices(material: Material) -> tuple[Tensor, Tensor]:
    """Pixels with a column of ones (N, 65), and one-hot classes (N, 10), in float64."""
    flat = material.inputs.flatten(1).double()
    wanted = nn.functional.one_hot(material.targets, _CLASSES).double()
    return torch.cat([flat, torch.ones(len(flat), 1, dtype=flat.dtype)], 1), wanted


def least_squares(
    inputs: Tensor, wanted: Tensor, penalty: float, rate: _Rate, batch: int, steps: int,
    random: torch.Generator,
) -> list[float]:  # fmt: skip
    """SGD on mean |x W - y|^2 / 2 + penalty/2 |W|^2 from W = 0: loss above the lowest.

    The loss is a quadratic, so that the excess is exactly <D, H D> / 2 with D = W - lowest.

    Args:
        inputs: (N, D).
        wanted: (N, C).
        penalty: lambda.
        rate: learning rate of each step.
        batch: examples per minibatch, drawn with replacement.
        steps: updates.
        random: draws the minibatches.
    """
    count = len(inputs)
    eye = torch.eye(inputs.shape[1], dtype=inputs.dtype)
    hessian = inputs.T @ inputs / count + penalty * eye
    lowest = torch.linalg.pinv(hessian, hermitian=True) @ inputs.T @ wanted / count
    weights, found = torch.zeros_like(lowest), []
    for step in range(steps):
        chosen = torch.randint(count, (batch,), generator=random)
        rows = inputs[chosen]
        gradient = rows.T @ (rows @ weights - wanted[chosen]) / batch + penalty * weights
        weights = weights - rate(step) * gradient
        distance = weights - lowest
        found.append(float((distance * (hessian @ distance)).sum()) / 2)
    return found


def _last(excess: list[float]) -> float:
    """Mean over the last quarter."""
    quarter = len(excess) // 4
    return sum(excess[-quarter:]) / quarter


def _real(squares: dict[str, list[list[float]]]) -> tuple[Part, ...]:
    """The same on the digits, against the first case."""
    clauses = (
        ("a quarter of the rate", "a smaller rate ends nearer the minimum on digits"),
        ("falling rate", "a falling rate ends nearer on digits"),
        ("larger minibatch", "larger minibatches end nearer on digits"),
    )
    constant = squares["constant rate"]
    return tuple(
        Part(says, ratio_of(f"excess loss with the constant rate over {name}",
                            [_last(one) / _last(other)
                             for one, other in zip(constant, squares[name], strict=True)]),
             at_least=2)
        for name, says in clauses
    )  # fmt: skip


def _circumstances(setup: Setup, squares: dict[str, list[list[float]]]) -> tuple[Part, ...]:
    cases = (
        ("constant rate", "the examples disagree at the minimum"),
        ("few examples", f"one W fits all examples ({setup.few} digits, no penalty)"),
    )
    return tuple(
        Part("a constant rate stays at a distance from the minimum",
             ratio_of(f"{name}: excess loss, last quarter over second",
                      [_last(one) / _last(one[: len(one) // 2]) for one in squares[name]]),
             at_least=0.5, when=when)
        for name, when in cases
    )  # fmt: skip


def _picture(setup: Setup, chains: dict[str, Tensor]) -> Picture:
    places = range(1, setup.steps + 1)
    curves = tuple(curve(name, way.mean(1).sqrt().tolist(), places) for name, way in chains.items())
    marks = tuple(
        (math.sqrt(stationary(rate, setup.batch)), f"law at {rate:g}") for rate in setup.rates
    )
    panel = Panel("Quadratic", "step", "root mean square distance", curves,
                  x_log=True, y_log=True, marks=marks)  # fmt: skip
    return Picture(
        "Distance from the minimum with noisy gradients",
        "Constant rates level off at the distances of the law; the falling rate does not",
        (panel,),
    )


def _digits_picture(squares: dict[str, list[list[float]]]) -> Picture:
    curves = []
    for name, runs in squares.items():
        columns = list(zip(*runs, strict=True))[::20]
        means = tuple(sum(column) / len(column) for column in columns)
        places = tuple(float(1 + 20 * place) for place in range(len(columns)))
        low, high = tuple(map(min, columns)), tuple(map(max, columns))
        curves.append(Curve(name, places, means, low, high))
    panel = Panel("Least squares on digits", "step", "loss above the lowest", tuple(curves),
                  y_log=True)  # fmt: skip
    return Picture(
        "Loss above the lowest on digits (mean and range of the runs)",
        "Constant rates level off; the falling rate goes on falling slowly, and so do, fast, the "
        "few examples that one W fits",
        (panel,),
    )


def _table(setup: Setup, chains: dict[str, Tensor]) -> Table:
    rows = []
    for rate in setup.rates:
        measured = float(chains[f"rate {rate:g}"][setup.steps // 2 :].mean())
        rows.append((rate, measured, stationary(rate, setup.batch)))
    return Table(("rate", "mean squared distance", "closed form"), tuple(rows))


EXPERIMENT = Experiment(
    name="noisy-gradients",
    title="How near to the minimum does SGD come with noisy gradients?",
    claim="With noisy gradients and a constant rate SGD does not reach the minimum: it stays at a "
    "distance that grows with the rate. A falling rate converges, and larger minibatches, whose "
    "variance is 1/B as large, come nearer.",
    hypothesis="On w^2/2 a step keeps (1 - rate)^2 of the squared distance and adds rate^2/B: they "
    "balance at rate/(B (2 - rate)). With rate/(1 + t/T) the balance itself goes to 0 as 1/t. All "
    "of it rests on noise that is still there at the minimum.",
    set_up="On w^2/2 with noise of variance 1 per example: {chains} paths of {steps} steps with "
    "rates {rates}, minibatches of {batch}, once of {larger}, and once a rate that falls as "
    "1/(1 + step/{fall_after}). Then least squares on digits, lambda = {penalty}, {digits_steps} "
    "steps: rate {digits_rate}, a quarter of it, falling as 1/(1 + step/{digits_fall}), "
    "minibatches of {larger}; and {few} examples alone without penalty. {runs} runs of each.",
    setup=Setup(),
    sabotage="the falling rates do not fall",
    sabotaged=Setup(fall_after=1e9, digits_fall=1e9),
    measure=measure,
    next=(
        "chainrule train 'FC-10' --data digits --schedule cosine, then with --schedule constant",
        "let the rate fall as 1/(1 + step/20)^2: it stops before it has arrived",
    ),
    references=(
        "H. Robbins and S. Monro, A stochastic approximation method, Annals of Mathematical "
        "Statistics, 1951",
        "L. Bottou, F. E. Curtis and J. Nocedal, Optimization methods for large-scale machine "
        "learning, SIAM Review 2018",
        "S. Ma, R. Bassily and M. Belkin, The power of interpolation, ICML 2018",
    ),
)
