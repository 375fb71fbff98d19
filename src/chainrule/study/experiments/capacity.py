"""Capacity: squared bias and variance of wider networks, and of polynomials as a control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import accuracy_of, digits, evaluated, fit, net
from chainrule.study.measured import Part, mean_of, ratio_of
from chainrule.study.picture import Curve, Panel, Picture, Table, curve

_HALF = 50.0  # bias that falls with capacity falls by half at least (%), from end to end
_MORE = 1.1  # what rises, rises by a tenth at least
_FITS = 0.99  # training accuracy of a network that can fit its training set

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        widths: hidden units of the networks, from few to many.
        examples: in each training set.
        steps: updates of each training.
        batch: examples per minibatch.
        rate: learning rate (SGD).
        sets: training sets over which one squared bias and variance is taken.
        degrees: of the polynomials are 0 to this.
        points: places at which the curve is seen, with new noise in each training set.
        noise: standard deviation of that noise.
        curves: training sets of the polynomials in one run.
        runs: groups of training sets.
    """

    widths: tuple[int, ...] = (1, 2, 4, 16, 64, 256)
    examples: int = 100
    steps: int = 200
    batch: int = 25
    rate: float = 0.2
    sets: int = 3
    degrees: int = 12
    points: int = 20
    noise: float = 0.3
    curves: int = 100
    runs: int = 5


@dataclass(frozen=True)
class Decomposed:
    """Squared bias and variance in one run, an entry for each capacity.

    Attributes:
        bias: squared bias.
        variance: of the predictions over training sets.
        fitted: training accuracy; () for polynomials.
    """

    bias: tuple[float, ...]
    variance: tuple[float, ...]
    fitted: tuple[float, ...] = ()

    @property
    def error(self) -> tuple[float, ...]:
        """Their sum: the expected squared error, less the noise of the targets."""
        return tuple(b + v for b, v in zip(self.bias, self.variance, strict=True))


def measure(setup: Setup, seed: int) -> Outcome:
    """Squared bias and variance against the degree and against the width."""
    seeds = range(seed * setup.runs, (seed + 1) * setup.runs)
    polynomials = [_polynomials(setup, one) for one in seeds]
    networks = [_networks(setup, one) for one in seeds]
    few, many = _spans(setup, networks)
    parts = (
        _bias_part("polynomials", polynomials),
        _bias_part("networks", networks),
        *_rising_parts("the model is a polynomial", polynomials, range(setup.degrees + 1)),
        *_rising_parts("the network is too small to fit its training set", networks, few)[:1],
        *_rising_parts("the network is large enough to fit it", networks, many),
    )
    notes = (
        "Once a network can fit its training set, further width makes the trainings agree more "
        "instead of less: the variance falls, and the error has no second arm of a U.",
    )
    pictures = (_picture(setup, polynomials, networks),)
    return Outcome(parts, pictures, (_table(setup, networks),), notes)


def decompose(predictions: Numbers, truth: Numbers) -> tuple[float, float]:
    """Squared bias and variance of predictions, both without bias of their own.

    The squared distance of the mean prediction from the truth holds variance / T too much.

    Args:
        predictions: (T, N, K), of T training sets.
        truth: (N, K).

    Returns:
        both summed over K and averaged over N.

    Examples:
        >>> decompose(np.array([[[1.0]], [[3.0]]]), np.array([[0.0]]))  # 2^2 - 2/2, and 2
        (3.0, 2.0)
    """
    variance = float(predictions.var(axis=0, ddof=1).sum(axis=1).mean())
    off = ((predictions.mean(axis=0) - truth) ** 2).sum(axis=1).mean()
    return float(off) - variance / len(predictions), variance


def closed_form(setup: Setup) -> Decomposed:
    """Of least squares at fixed places: ``|f - P f|^2 / n`` and ``noise^2 (degree + 1) / n``."""
    basis, truth = _basis(setup), _curve(setup)
    left = [truth - basis[:, :d] @ (basis[:, :d].T @ truth) for d in _parameters(setup)]
    bias = tuple(float((rest**2).mean()) for rest in left)
    variance = tuple(setup.noise**2 * d / setup.points for d in _parameters(setup))
    return Decomposed(bias, variance)


def _polynomials(setup: Setup, seed: int) -> Decomposed:
    """The same by fitting noisy curves."""
    basis, truth = _basis(setup), _curve(setup)
    noise = np.random.default_rng(seed).normal(0, setup.noise, (setup.curves, setup.points))
    seen = truth + noise  # (curves, points)
    pairs = [
        decompose((seen @ basis[:, :d] @ basis[:, :d].T)[:, :, None], truth[:, None])
        for d in _parameters(setup)
    ]
    bias, variance = zip(*pairs, strict=True)
    return Decomposed(bias, variance)


def _parameters(setup: Setup) -> range:
    """Numbers of coefficients."""
    return range(1, setup.degrees + 2)


def _places(setup: Setup) -> Numbers:
    return np.linspace(-1, 1, setup.points)


def _curve(setup: Setup) -> Numbers:
    """What the polynomials try to find."""
    return np.asarray(np.sin(3 * _places(setup) + 0.5))


def _basis(setup: Setup) -> Numbers:
    """(points, degrees + 1): the first d columns span the polynomials with d coefficients."""
    powers = np.polynomial.legendre.legvander(_places(setup), setup.degrees)
    return np.asarray(np.linalg.qr(powers)[0])


def _networks(setup: Setup, seed: int) -> Decomposed:
    """Squared bias and variance of the class probabilities against the one-hot classes."""
    truth = np.eye(10)[digits().held_targets.numpy()]
    rows = []
    for width in setup.widths:
        trained = [_train(setup, width, seed * setup.sets + one) for one in range(setup.sets)]
        predictions = torch.stack([found for found, _ in trained]).double().numpy()
        fitted = sum(accuracy for _, accuracy in trained) / setup.sets
        rows.append((*decompose(predictions, truth), fitted))
    bias, variance, fit_of = zip(*rows, strict=True)
    return Decomposed(bias, variance, fit_of)


def _train(setup: Setup, width: int, seed: int) -> tuple[Tensor, float]:
    """Class probabilities of the held-back examples, and the training accuracy."""
    material = digits(setup.examples, seed).flat()
    module = net(f"FC-{width}, RELU, FC-10", seed, (64,))
    fit(module, material, steps=setup.steps, seed=seed, batch=setup.batch, rate=setup.rate)
    with torch.no_grad(), evaluated(module):
        found = module(material.held_inputs).softmax(1)
    return found, accuracy_of(module, material.inputs, material.targets)


def _spans(setup: Setup, runs: Sequence[Decomposed]) -> tuple[range, range]:
    """Places of the widths that cannot fit their training set, and of those that can."""
    means = [sum(column) / len(runs) for column in zip(*(r.fitted for r in runs), strict=True)]
    first = next((place for place, mean in enumerate(means) if mean >= _FITS), len(means))
    return range(first), range(first, len(setup.widths))


def _bias_part(name: str, runs: Sequence[Decomposed]) -> Part:
    falls = [100 * (1 - run.bias[-1] / run.bias[0]) for run in runs]
    found = mean_of(f"{name}: fall of the squared bias", falls, "%")
    says = f"the squared bias of {name} falls with the capacity"
    return Part(says, found, at_least=_HALF)


def _rising_parts(when: str, runs: Sequence[Decomposed], span: range) -> tuple[Part, ...]:
    """Of the capacities in ``span``; none where there are not two."""
    if len(span) < 2:
        return ()
    first, last = span[0], span[-1]
    variances = [run.variance[last] / run.variance[first] for run in runs]
    errors = [run.error[last] / min(run.error[place] for place in span) for run in runs]
    return (
        Part("the variance rises with the capacity",
             ratio_of("variance, largest / smallest capacity", variances), at_least=_MORE,
             when=when),
        Part("the largest capacity is worse than the best one",
             ratio_of("squared error, largest / best capacity", errors), at_least=_MORE,
             when=when),
    )  # fmt: skip


def _curves(
    runs: Sequence[Decomposed], x: Sequence[float], theory: Decomposed | None = None
) -> tuple[Curve, ...]:
    """Means over the runs with their intervals."""
    curves = []
    for name, what in (("squared bias", "bias"), ("variance", "variance"), ("their sum", "error")):
        columns = zip(*(getattr(run, what) for run in runs), strict=True)
        found = [mean_of(name, column) for column in columns]
        curves.append(
            Curve(name, tuple(map(float, x)), tuple(one.value for one in found),
                  tuple(one.low for one in found), tuple(one.high for one in found))
        )  # fmt: skip
        if theory is not None:
            curves.append(curve(f"{name} by formula", getattr(theory, what), x, dashed=True))
    return tuple(curves)


def _picture(
    setup: Setup, polynomials: Sequence[Decomposed], networks: Sequence[Decomposed]
) -> Picture:
    panels = (
        Panel("Polynomials", "degree", "squared error",
              _curves(polynomials, range(setup.degrees + 1), closed_form(setup))),
        Panel("Networks", "hidden units", "squared error of the class probabilities",
              _curves(networks, setup.widths), x_log=True),
    )  # fmt: skip
    return Picture(
        "Squared bias and variance against capacity",
        "Polynomials: bias falls, variance rises, their sum is a U. Networks: bias falls, variance "
        "rises up to the width that fits the training set and falls from there",
        panels,
    )


def _table(setup: Setup, runs: Sequence[Decomposed]) -> Table:
    columns = [
        [sum(column) / len(runs) for column in zip(*(getattr(r, what) for r in runs), strict=True)]
        for what in ("bias", "variance", "error", "fitted")
    ]
    rows = tuple(zip(setup.widths, *columns, strict=True))
    return Table(
        ("hidden units", "squared bias", "variance", "sum", "training accuracy (share)"), rows
    )


EXPERIMENT = Experiment(
    name="capacity",
    title="Does more capacity trade bias for variance?",
    claim="A model of little capacity has high bias, one of much capacity high variance: with "
    "the capacity the bias falls and the variance rises, and the error is lowest between.",
    hypothesis="Over training sets the expected squared error is squared bias + variance + noise. "
    "Least squares with p coefficients on n points has variance noise^2 p / n, which must rise. "
    "For networks trained by SGD no such formula is known; they are nearer to each other the "
    "more units share the work, so the variance may fall once the training set is fitted.",
    set_up="Class probabilities of FC-width, RELU, FC-10 with widths {widths} on digits: "
    "{runs} groups of {sets} training sets with {examples} examples each, other weights for each, "
    "SGD with rate {rate}, minibatches of {batch}, {steps} steps. Control: least squares with "
    "polynomials of degree 0 to {degrees} through {points} points of a sine with noise of "
    "{noise}, {runs} groups of {curves} training sets. A network fits its training set if it gets "
    "99 % of it right.",
    setup=Setup(),
    sabotage="the networks are stopped after one update, so that no capacity is used",
    sabotaged=Setup(steps=1),
    measure=measure,
    next=(
        "chainrule train 'FC-256, RELU, FC-10' --data digits --limit 100",
        "flip a fifth of the training labels: at which width does the variance grow most?",
    ),
    references=(
        "S. Geman, E. Bienenstock and R. Doursat, Neural networks and the bias/variance dilemma, "
        "Neural Computation 4, 1992",
        "B. Neal et al., A modern take on the bias-variance tradeoff in neural networks, "
        "arXiv 2018",
        "M. Belkin et al., Reconciling modern machine-learning practice and the classical "
        "bias-variance trade-off, PNAS 116, 2019",
    ),
)
