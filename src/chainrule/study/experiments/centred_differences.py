"""Centred against forward differences: order of the error, best step, and kinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from chainrule.gradients.numerical import step_factor
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.experiments.differences import (
    METHODS,
    Loss,
    Place,
    centred,
    crossings,
    error,
    forward,
    order,
    shifted,
)
from chainrule.study.lesson import generator
from chainrule.study.measured import Part, mean_of, median_of, ratio_of
from chainrule.study.picture import Curve, Panel, Picture, Table, curve

_WRONG = 1e-2  # relative errors above this condemn a gradient, by the notes of the course
_FINE_WITH_KINKS = 1e-4  # and below this nothing is suspected where there are kinks
_STEPS = tuple(10.0 ** (-power / 2) for power in range(2, 25))
_USUAL = _STEPS[8]  # 1e-5, the step that the course takes
_SMALLER = (1e-6, 1e-3)  # so small that no second kink is likely to be near
_BESIDE = 1e-6  # far enough from a kink for autograd to take the slope of one side
_SHOWN = 1e-13  # least error of the lines in the picture
_DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        smooth: notation of a network without kinks.
        bent: notation of one with kinks.
        dtype: of all numbers, "float64" or "float32".
        examples: in the minibatch.
        elements: parameters (smooth) or kinks (bent) drawn in each run.
        least_step: the order of the error is read from here
        most_step: to here.
        runs: draws of weights, examples and elements.
    """

    smooth: str = "FC-16, TANH, FC-10"
    bent: str = "FC-16, RELU, FC-10"
    dtype: str = "float64"
    examples: int = 16
    elements: int = 24
    least_step: float = 1e-4
    most_step: float = 1e-2
    runs: int = 5


def measure(setup: Setup, seed: int) -> Outcome:
    """Errors of both differences against the step: where all is smooth, and beside a kink."""
    seeds = range(seed, seed + setup.runs)
    smooth = {
        name: [_smooth_errors(setup, method, one) for one in seeds]
        for name, method in METHODS.items()
    }
    bent = [_kink_errors(setup, one) for one in seeds]
    notes = (
        "A centred difference looks both ways and so crosses about twice as many kinks as a "
        "forward one of the same step.",
    )
    return Outcome(
        (*_smooth_parts(setup, smooth), *_kink_parts(setup, bent, seeds)),
        (_picture(smooth, bent),), (_table(setup, smooth),), notes,
    )  # fmt: skip


def _place(setup: Setup, text: str, seed: int) -> Place:
    return Place(text, setup.examples, _DTYPES[setup.dtype], seed)


def _smooth_errors(setup: Setup, method: Callable[[Loss, float], float], seed: int) -> list[float]:
    """The relative error over some elements of the gradient, for each step."""
    place = _place(setup, setup.smooth, seed)
    parameters = list(place.module.parameters())
    random = generator(seed)
    losses, true = [], []
    for number in range(setup.elements):
        parameter = parameters[number % len(parameters)]
        chosen = int(torch.randint(parameter.numel(), (), generator=random))
        losses.append(place.along(parameter, chosen))
        true.append(place.gradient(parameter, chosen))
    return [error([method(loss, step) for loss in losses], true) for step in _STEPS]


@dataclass(frozen=True)
class KinkErrors:
    """What the differences give near kinks, an entry for each of ``_STEPS``.

    Attributes:
        forward: relative error with a kink half a step ahead.
        centred: the same.
        from_mean: right at the kink: distance of the centred one from the mean of both slopes,
            as a share of that mean.
    """

    forward: list[float]
    centred: list[float]
    from_mean: list[float]


def _kink_errors(setup: Setup, seed: int) -> KinkErrors:
    """Biases of hidden units near where one example just begins to pass the ReLU."""
    place = _place(setup, setup.bent, seed)
    kinks = _drawn_kinks(place, setup.elements, seed)
    found = KinkErrors([], [], [])
    for step in _STEPS:
        rows = [_near(place, unit, distance, step) for unit, distance in kinks]
        ahead, both, true, at, mean = zip(*rows, strict=True)
        found.forward.append(error(ahead, true))
        found.centred.append(error(both, true))
        found.from_mean.append(error(at, mean))
    return found


def _drawn_kinks(place: Place, count: int, seed: int) -> list[tuple[int, float]]:
    """(unit, how far its bias must be moved until an example's input to the ReLU is 0)."""
    with torch.no_grad():
        sums = place.first(place.inputs)  # (examples, units)
    chosen = torch.randperm(sums.numel(), generator=generator(seed))[:count]
    return [(int(c) % sums.shape[1], -sums.flatten()[c].item()) for c in chosen]


def _near(place: Place, unit: int, distance: float, step: float) -> tuple[float, ...]:
    """Forward, centred and true slope half a step before the kink; centred and mean one at it."""
    loss, bias = place.along(place.first.bias, unit), place.first.bias
    before, at = distance - step / 2, distance
    return (
        forward(shifted(loss, before), step),
        centred(shifted(loss, before), step),
        place.gradient(bias, unit, before),
        centred(shifted(loss, at), step),
        sum(place.gradient(bias, unit, at + side * _BESIDE) for side in (-1, 1)) / 2,
    )


def _smooth_parts(setup: Setup, errors: dict[str, list[list[float]]]) -> tuple[Part, ...]:
    read = _between(setup.least_step, setup.most_step)
    orders = {
        name: [order(_STEPS[read], run[read]) for run in runs] for name, runs in errors.items()
    }
    best = [
        min(ahead) / min(both)
        for ahead, both in zip(errors["forward"], errors["centred"], strict=True)
    ]
    return (
        Part("the error of a centred difference falls with the square of the step",
             mean_of("power of the step, centred", orders["centred"]), 1.9, 2.1),
        Part("that of a forward difference falls with the step",
             mean_of("power of the step, forward", orders["forward"]), 0.9, 1.1),
        Part("with the best step of each, the centred one is at least ten times as exact",
             ratio_of("least error, forward / centred", best), at_least=10),
    )  # fmt: skip


def _kink_parts(setup: Setup, bent: list[KinkErrors], seeds: Sequence[int]) -> tuple[Part, ...]:
    read, usual = _between(*_SMALLER), _STEPS.index(_USUAL)
    return (
        Part("half a step before a kink the centred one is wrong too",
             mean_of(f"relative error at h = {_USUAL:g}", [run.centred[usual] for run in bent]),
             at_least=_WRONG),
        Part("there a smaller step does not help",
             mean_of("power of the step", [order(_STEPS[read], run.centred[read]) for run in bent]),
             -0.1, 0.1),
        Part("right at the kink it gives the mean of both slopes",
             median_of("distance from the mean", [run.from_mean[usual] for run in bent]),
             at_most=_FINE_WITH_KINKS),
        Part("it crosses more kinks than a forward one of the same step",
             ratio_of("kinks crossed, centred / forward", [_more(setup, seed) for seed in seeds]),
             at_least=1, beside=True),
    )  # fmt: skip


def _more(setup: Setup, seed: int) -> float:
    place = _place(setup, setup.bent, seed)
    ahead, both = crossings(place.first, place.inputs, setup.most_step)
    return both / ahead


def _between(least: float, most: float) -> slice:
    """Where these steps are among ``_STEPS``, which fall."""
    inside = [place for place, step in enumerate(_STEPS) if 0.99 * least <= step <= 1.01 * most]
    return slice(inside[0], inside[-1] + 1)


def _middle(runs: Sequence[Sequence[float]]) -> list[float]:
    """The geometric mean over runs, step by step; no error at all counts as the last digit."""
    logarithms = np.log(np.maximum(np.array(runs), 1e-17))  # (runs, steps)
    return [float(value) for value in np.exp(logarithms.mean(axis=0))]


def _picture(errors: dict[str, list[list[float]]], bent: list[KinkErrors]) -> Picture:
    smooth = tuple(curve(name, _middle(runs), _STEPS) for name, runs in errors.items())
    lines = tuple(
        _power(f"{name}: h^{power}", start, power)
        for name, power, start in (("forward", 1, smooth[0].y[0]), ("centred", 2, smooth[1].y[0]))
    )  # fmt: skip
    near = tuple(
        curve(label, _middle(runs), _STEPS)
        for label, runs in (
            ("forward, kink half a step ahead", [run.forward for run in bent]),
            ("centred, kink half a step ahead", [run.centred for run in bent]),
            ("centred at the kink, off the mean slope", [run.from_mean for run in bent]),
        )
    )
    panels = (
        Panel("Where the loss is smooth (tanh)", "step h", "relative error of the gradient",
              (*smooth, *lines), x_log=True, y_log=True),
        Panel("At a kink (ReLU)", "step h", "relative error of the gradient",
              near, x_log=True, y_log=True),
    )  # fmt: skip
    return Picture(
        "Differences against the gradient",
        "Left: errors fall with h and with its square until rounding wins and they rise again. "
        "Right: near a kink both stay wrong at any step",
        panels,
    )


def _power(label: str, start: float, power: int) -> Curve:
    """From ``start`` at the largest step down to the smallest errors there are."""
    found = [(step, start * (step / _STEPS[0]) ** power) for step in _STEPS]
    steps, values = zip(*((step, value) for step, value in found if value > _SHOWN), strict=True)
    return curve(label, values, steps, dashed=True)


def _table(setup: Setup, errors: dict[str, list[list[float]]]) -> Table:
    rows = []
    for name, method in (("forward", "forward"), ("centred", "central")):
        middle = _middle(errors[name])
        least = min(middle)
        usual = step_factor(_DTYPES[setup.dtype], method)
        rows.append((name, _STEPS[middle.index(least)], usual, least))
    heads = ("difference", "best step", "eps^(1/2) or eps^(1/3)", "relative error there")
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="centred-differences",
    title="Why centred differences in a gradient check, and do they help at kinks?",
    claim="In a gradient check take centred differences, in double precision: their error falls "
    "with the square of the step, that of forward ones only with the step. They do not help "
    "at kinks: within a step of one they are wrong, too.",
    hypothesis="By Taylor, (f(x + h) - f(x)) / h = f' + h f''/2 + ..., while in (f(x + h) - "
    "f(x - h)) / 2h the even terms cancel: f' + h^2 f'''/6 + .... Rounding adds about eps f / h, "
    "so that the best steps go with eps^(1/2) and eps^(1/3). With slopes L and R on the sides of "
    "a kink the centred one gives (L + R) / 2 there, and from h/2 before it L + (R - L) / 4.",
    set_up="{smooth} on {examples} digits in {dtype}: {elements} elements of the gradient against "
    "autograd, {runs} draws; the order of the error is read for steps from {least_step} to "
    "{most_step}. {bent} with the bias of a hidden unit half a step before (or at) the place "
    "where one example begins to pass its ReLU, {elements} such kinks in each draw. Wrong: a "
    "relative error above 0.01.",
    setup=Setup(),
    sabotage="single precision: rounding wins long before the order can be seen",
    sabotaged=Setup(dtype="float32"),
    measure=measure,
    next=(
        "chainrule check 'FC-16, RELU, FC-10' --input 64 tells kinks and mistakes apart",
        "(4 D(h/2) - D(h)) / 3 of two centred differences D has an error of the fourth order",
    ),
    references=(
        "Stanford CS231n, notes on neural networks, part 3: gradient checks",
        "W. H. Press et al., Numerical Recipes, 3rd edition, 2007, section 5.7",
    ),
)
