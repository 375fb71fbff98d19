"""Update rules: which is the first to a given loss, each with a good rate of its own?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import accuracy_of, digits, fit, net, smoothed
from chainrule.study.measured import Part, ratio_of
from chainrule.study.picture import Curve, Panel, Picture, Table

_PLAIN = "sgd"
_FAMILIES = {
    "sgd": "plain_rates", "momentum": "momentum_rates", "nesterov": "momentum_rates",
    "adagrad": "adaptive_rates", "rmsprop": "adaptive_rates", "adam": "adaptive_rates",
}  # fmt: skip
_NAMES = {
    "sgd": "SGD", "momentum": "momentum", "nesterov": "Nesterov", "adagrad": "AdaGrad",
    "rmsprop": "RMSProp", "adam": "Adam",
}  # fmt: skip
_CHOICE = 10_000  # added to the seed of the run that chooses the rate: it is not counted


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        network: notation.
        plain_rates: learning rates that SGD chooses from.
        momentum_rates: those of momentum and Nesterov (mu = 0.9).
        adaptive_rates: those of AdaGrad, RMSProp and Adam.
        early: a loss to be reached by the mean over ``window`` minibatches (nats).
        late: a second, lower one.
        early_steps: updates at most on the way to ``early``; a run that has not arrived counts
            with all of them.
        late_steps: likewise to ``late``.
        window: steps over which the loss is averaged.
        batch: examples per minibatch.
        clearly: how many times as many steps plain SGD must need.
        runs: seeds of each rule with its rate.
    """

    network: str = "FC-32, RELU, FC-10"
    plain_rates: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0)
    momentum_rates: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    adaptive_rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    early: float = 0.5
    late: float = 0.05
    early_steps: int = 50
    late_steps: int = 130
    window: int = 5
    batch: int = 256
    clearly: float = 1.1
    runs: int = 6


@dataclass(frozen=True)
class _Raced:
    """One rule with the best of its rates for one race.

    Attributes:
        rate: chosen by a run of its own.
        losses: of each run, the mean over the window at each step.
        steps: of each run, until the loss is reached.
        accuracies: of each run of the late race, on the examples held back, after all steps.
    """

    rate: float
    losses: list[list[float]]
    steps: list[float]
    accuracies: list[float]


_Race = dict[str, _Raced]  # by rule


def measure(setup: Setup, seed: int) -> Outcome:
    """Choose a rate for each rule by one run, then race them over other seeds, twice."""
    tried = {rule: _try(setup, rule, seed + _CHOICE) for rule in _FAMILIES}
    late = {rule: _race_late(setup, rule, tried[rule], seed) for rule in _FAMILIES}
    early = {rule: _race_early(setup, rule, tried[rule], late[rule], seed) for rule in _FAMILIES}
    fastest = min(late, key=lambda rule: sum(late[rule].steps))
    notes = (
        f"The fastest to the lower loss is {_NAMES[fastest]}.",
        "AdaGrad and RMSProp lead plain SGD at first and lose that lead later. A likely reason, "
        "not tested here: the cache of AdaGrad only grows, and the steps of RMSProp, divided by "
        "the size of the gradient, do not shrink with it.",
    )
    parts = (*_momentum_parts(setup, late), *_adaptive_parts(setup, early, late))
    return Outcome(parts, (_picture(setup, early, late),), (_table(setup, early, late),), notes)


def _train(
    setup: Setup, rule: str, rate: float, steps: int, seed: int
) -> tuple[list[float], float]:
    """Smoothed losses, and the accuracy at the end."""
    module = net(setup.network, seed)
    material = digits()
    fitted = fit(module, material, steps=steps, seed=seed, batch=setup.batch, rate=rate,
                 update_rule=rule)  # fmt: skip
    accuracy = accuracy_of(module, material.held_inputs, material.held_targets)
    return smoothed(fitted.losses, setup.window), accuracy


def _try(setup: Setup, rule: str, seed: int) -> dict[float, list[float]]:
    """The losses with each rate of its grid, in one run."""
    grid: tuple[float, ...] = getattr(setup, _FAMILIES[rule])
    return {rate: _train(setup, rule, rate, setup.late_steps, seed)[0] for rate in grid}


def steps_to(losses: list[float], wanted: float, window: int, most: int) -> float:
    """The first step, a whole window in, at which the loss is reached; else ``most``."""
    for step, value in enumerate(losses[:most], 1):
        if step >= window and value <= wanted:
            return float(step)
    return float(most)


def _race_late(setup: Setup, rule: str, tried: dict[float, list[float]], seed: int) -> _Raced:
    most = setup.late_steps

    def steps_of(losses: list[float]) -> float:
        return steps_to(losses, setup.late, setup.window, most)

    best = min(tried, key=lambda rate: steps_of(tried[rate]))
    runs = [_train(setup, rule, best, most, run) for run in range(seed, seed + setup.runs)]
    losses = [one for one, _ in runs]
    steps = [steps_of(one) for one in losses]
    return _Raced(best, losses, steps, [accuracy for _, accuracy in runs])


def _race_early(
    setup: Setup, rule: str, tried: dict[float, list[float]], late: _Raced, seed: int
) -> _Raced:
    """The runs of the late race serve again where the same rate is the best."""
    most = setup.early_steps

    def steps_of(losses: list[float]) -> float:
        return steps_to(losses, setup.early, setup.window, most)

    best = min(tried, key=lambda rate: steps_of(tried[rate]))
    if best == late.rate:
        return _Raced(best, late.losses, [steps_of(one) for one in late.losses], [])
    seeds = range(seed, seed + setup.runs)
    losses = [_train(setup, rule, best, most, run)[0] for run in seeds]
    return _Raced(best, losses, [steps_of(one) for one in losses], [])


def _ratios(race: _Race, rule: str) -> list[float]:
    """Steps of plain SGD over those of the rule, seed by seed."""
    pairs = zip(race[_PLAIN].steps, race[rule].steps, strict=True)
    return [one / other for one, other in pairs]


def _momentum_parts(setup: Setup, late: _Race) -> tuple[Part, ...]:
    """The rules that keep a velocity."""
    return tuple(
        Part(
            f"{_NAMES[rule]} needs clearly fewer steps than plain SGD",
            ratio_of(f"steps to {setup.late:g} nats, plain SGD over {_NAMES[rule]}",
                     _ratios(late, rule)),
            at_least=setup.clearly,
        )
        for rule in ("momentum", "nesterov", "adam")
    )  # fmt: skip


def _adaptive_parts(setup: Setup, early: _Race, late: _Race) -> tuple[Part, ...]:
    """The rules with a rate per parameter and no velocity: in each race."""
    return tuple(
        Part(
            f"{_NAMES[rule]} needs clearly fewer steps than plain SGD",
            ratio_of(f"steps to {wanted:g} nats, plain SGD over {_NAMES[rule]}",
                     _ratios(race, rule)),
            at_least=setup.clearly,
            when=f"AdaGrad and RMSProp race to a loss of {wanted:g} nats",
        )
        for race, wanted in ((early, setup.early), (late, setup.late))
        for rule in ("adagrad", "rmsprop")
    )  # fmt: skip


def _picture(setup: Setup, early: _Race, late: _Race) -> Picture:
    curves = []
    for rule, found in late.items():
        filled = (_filled(run, setup.late_steps) for run in found.losses)
        columns = list(zip(*filled, strict=True))
        means = tuple(sum(column) / len(column) for column in columns)
        places = tuple(float(step) for step in range(1, setup.late_steps + 1))
        curves.append(Curve(f"{_NAMES[rule]}, rate {found.rate:g}", places, means))
    panel = Panel("Loss", "step", f"loss over {setup.window} steps (nats)", tuple(curves),
                  y_log=True, marks=((setup.early, "early"), (setup.late, "late")))  # fmt: skip
    names = tuple(_NAMES.values())
    points = tuple(
        _points(f"to {wanted:g} nats", race)
        for race, wanted in ((early, setup.early), (late, setup.late))
    )
    return Picture(
        "The race, each rule with its best rate",
        "Loss against the step, and the steps to either loss: plain SGD is the last to the first "
        "loss, AdaGrad and RMSProp to the second",
        (panel, Panel("Steps to either loss", "update rule", "steps (mean, range of the runs)",
                      points, y_log=True, categories=names)),
    )  # fmt: skip


def _points(label: str, race: _Race) -> Curve:
    steps = [found.steps for found in race.values()]
    return Curve(
        label, tuple(map(float, range(len(steps)))), tuple(sum(one) / len(one) for one in steps),
        tuple(map(min, steps)), tuple(map(max, steps)), kind="points",
    )  # fmt: skip


def _filled(losses: list[float], steps: int) -> list[float]:
    """A run that ended early because its loss was no longer finite."""
    return losses + [math.nan] * (steps - len(losses))


def _table(setup: Setup, early: _Race, late: _Race) -> Table:
    rows = []
    for rule, found in late.items():
        first = early[rule]
        steps = [sum(one.steps) / len(one.steps) for one in (first, found)]
        accuracy = 100 * sum(found.accuracies) / len(found.accuracies)
        rows.append((_NAMES[rule], first.rate, steps[0], found.rate, steps[1], accuracy))
    heads = ("update rule", f"best rate to {setup.early:g} nats", f"steps to {setup.early:g}",
             f"best rate to {setup.late:g} nats", f"steps to {setup.late:g}",
             "held-back accuracy (%)")  # fmt: skip
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="update-rules",
    title="Which update rule is the fastest to a given loss?",
    claim="On the same network and data, momentum, Nesterov and the rules with a rate per "
    "parameter (AdaGrad, RMSProp, Adam) train faster than plain SGD.",
    hypothesis="The loss of a network is a valley of many curvatures. Momentum adds up what "
    "consecutive gradients agree on, up to 1/(1 - mu) = 10 times the step along flat directions; "
    "the adaptive rules enlarge the steps of parameters with small gradients, but the cache that "
    "AdaGrad divides by only grows. Each rule gets a good rate of its own, so that none wins by "
    "the choice of the rate.",
    set_up="{network} on digits, minibatches of {batch}. Two races: steps until the mean loss of "
    "{window} minibatches is {early} nats (at most {early_steps}), and {late} nats (at most "
    "{late_steps}). The rate of each rule in each race is the fastest in one run of its own: SGD "
    "from {plain_rates}, momentum and Nesterov from {momentum_rates}, AdaGrad, RMSProp and Adam "
    "from {adaptive_rates}; then {runs} other seeds. Clearly fewer: plain SGD needs at least "
    "{clearly} times as many.",
    setup=Setup(),
    sabotage="all rules but SGD must take the largest rate of SGD's grid",
    sabotaged=Setup(momentum_rates=(2.0,), adaptive_rates=(2.0,)),
    measure=measure,
    next=(
        "chainrule sweep --set data=digits --grid update_rule=sgd,momentum,adam --seeds 3",
        "give SGD only rates up to 0.1: the lead of the others grows, and proves nothing",
    ),
    references=(
        "D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015",
        "A. C. Wilson et al., The marginal value of adaptive gradient methods in machine learning, "
        "NIPS 2017",
        "Stanford CS231n, notes on neural networks, part 3: parameter updates",
    ),
)
