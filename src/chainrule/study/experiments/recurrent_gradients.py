"""Recurrent gradients: what the singular values of W decide, what they do not, and clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, geometric_mean

import torch
from torch import Tensor, nn

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.experiments.recurrent_nets import RowByRow, clip, matrix
from chainrule.study.lesson import Fitted, accuracy_of, digits, fit, generator
from chainrule.study.measured import Part, exact, mean_of, ratio_of, worst_of
from chainrule.study.picture import Panel, Picture, Table, curve

_VANISHED, _EXPLODED = 1e-3, 1e3  # as factors over the whole sequence
_ROUNDING = 1e-9
Growths = dict[str, list[list[float]]]  # by network, one for each run


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        units: of the hidden state.
        inputs: numbers that come in at each time step.
        steps: T, length of the sequence.
        small: largest singular value of W that is below 1.
        large: the one above 1.
        larger: one so far above 1 that a Gaussian W's spectral radius, about half of it, is too.
        runs: draws of W, U and the inputs, and seeds of each training.
        threshold: of clipping.
        rate: learning rate (SGD) of the training on digits, read row by row.
        updates: of each training.
    """

    units: int = 32
    inputs: int = 8
    steps: int = 100
    small: float = 0.9
    large: float = 1.5
    larger: float = 3.0
    runs: int = 5
    threshold: float = 5.0
    rate: float = 0.1
    updates: int = 300


# name of the network -> (are all singular values of W the same?, is there a tanh?)
_NETWORKS = {
    "linear net with equal singular values": (True, False),
    "linear net with a Gaussian W": (False, False),
    "tanh net with equal singular values": (True, True),
}


_RESISTANT = tuple(_NETWORKS)[1:]  # a sigma a little above 1 is not enough in these


def measure(setup: Setup, seed: int) -> Outcome:
    """Gradients through time at each size of W, then one training with each way of clipping."""
    sizes = (setup.small, setup.large, setup.larger)
    growths = {sigma: _growths(setup, sigma, seed) for sigma in sizes}
    trained = {
        name: [_train(setup, power, seed + run) for run in range(setup.runs)]
        for name, power in _POWERS.items()
    }
    parts = (
        *_below(setup, growths[setup.small]),
        *_above(setup.large, growths[setup.large], tuple(_NETWORKS)),
        *_above(setup.larger, growths[setup.larger], _RESISTANT),
        *_clipping(setup, trained),
    )
    pictures = (_growth_picture(setup, growths), _clipping_picture(setup, trained))
    return Outcome(parts, pictures, (_radii(setup, seed), _trainings(trained)), _NOTES)


_NOTES = (
    "A largest singular value above 1 is necessary for an explosion, not sufficient: a Gaussian "
    "W has a spectral radius of about half its largest singular value, and a saturated tanh "
    "multiplies by less than 1 at each step. How far above 1 is enough depends on the net (the "
    "parts give one size that is not and one that is).",
    "Divided by the sum of squares, a gradient of norm n leaves a step of threshold / n: the "
    "larger the gradient, the smaller the step, so training is slowest where the loss is steepest.",
)


def growth(setup: Setup, weights: Tensor, squashed: bool, seed: int) -> list[float]:
    """``|dL/dh_(T-k)| / |dL/dh_T|`` for k = 0 ... T; L is a random projection of h_T."""
    random = generator(seed + 1000)
    entry = torch.randn(setup.units, setup.inputs, generator=random, dtype=torch.float64)
    entry = entry / math.sqrt(setup.inputs)
    sequence = torch.randn(setup.steps, setup.inputs, generator=random, dtype=torch.float64)
    upstream = torch.randn(setup.units, generator=random, dtype=torch.float64)
    states = [torch.zeros(setup.units, dtype=torch.float64, requires_grad=True)]
    for vector in sequence:
        inside = weights @ states[-1] + entry @ vector
        states.append(torch.tanh(inside) if squashed else inside)
    gradients = torch.autograd.grad(states[-1] @ upstream, states)
    norms = [float(gradient.norm()) for gradient in reversed(gradients)]
    return [norm / norms[0] for norm in norms]


def _growths(setup: Setup, sigma: float, seed: int) -> Growths:
    """How the gradient of each network grows backwards, at one size of W."""
    runs = range(seed, seed + setup.runs)
    return {
        name: [
            growth(setup, matrix(setup.units, sigma, equal, generator(run)), squashed, run)
            for run in runs
        ]
        for name, (equal, squashed) in _NETWORKS.items()
    }


def _below(setup: Setup, growths: Growths) -> tuple[Part, Part]:
    every = [run for runs in growths.values() for run in runs]
    over = [max(value / setup.small**k for k, value in enumerate(run)) for run in every]
    return (
        Part(
            f"with a largest singular value of {setup.small:g} the gradient never exceeds sigma^k",
            worst_of("largest |dL/dh_(T-k)| / |dL/dh_T| over its bound", over, "times"),
            at_most=1 + _ROUNDING,
        ),
        Part(
            f"after {setup.steps} time steps it has vanished",
            worst_of("|dL/dh_0| / |dL/dh_T|", [run[-1] for run in every], "times"),
            at_most=_VANISHED,
        ),
    )


def _above(sigma: float, growths: Growths, names: tuple[str, ...]) -> tuple[Part, ...]:
    return tuple(
        Part(
            "the gradient explodes",
            ratio_of(f"{name}: |dL/dh_0| / |dL/dh_T|", [run[-1] for run in growths[name]]),
            at_least=_EXPLODED,
            when=f"the largest singular value is {sigma:g} in a {name}",
        )
        for name in names
    )


_POWERS = {"no clipping": 0, "clipped by the norm": 1, "clipped by the squared norm": 2}


def _train(setup: Setup, power: int, seed: int) -> Fitted:
    """One training on digits with W above 1."""
    module = RowByRow(setup.units, setup.large, seed)

    def clipped(_: int, module: nn.Module) -> None:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        clip(gradients, setup.threshold, power)

    return fit(
        module, digits(seed=seed), steps=setup.updates, seed=seed, rate=setup.rate, watch=clipped
    )


def _clipping(setup: Setup, trained: dict[str, list[Fitted]]) -> tuple[Part, ...]:
    long = 100 * setup.threshold
    by_norm, by_square = (_after(long, setup.threshold, power) for power in (1, 2))
    broken = sum(run.diverged for run in trained["no clipping"])
    return (
        Part(
            "clipping by the norm leaves a step no longer than the threshold",
            exact(f"norm of a gradient of norm {long:g} after it", by_norm),
            at_most=setup.threshold * (1 + _ROUNDING),
        ),
        Part(
            "without it the training of a linear net with W above 1 diverges",
            exact("share of trainings that end in nan", 100 * broken / setup.runs, "%"),
            at_least=100,
        ),
        Part(
            "with it the same training goes on and learns",
            mean_of("accuracy on held-back digits",
                    _accuracies(trained["clipped by the norm"]), "%"),
            at_least=50,
        ),
        Part(
            "the course's code, which divides by the squared norm, leaves a step that long, too",
            exact(f"norm of a gradient of norm {long:g} after it", by_square),
            at_least=setup.threshold * (1 - _ROUNDING), beside=True,
        ),
    )  # fmt: skip


def _after(norm: float, threshold: float, power: int) -> float:
    """The norm that clipping leaves of a gradient."""
    gradient = torch.full((4,), norm / 2, dtype=torch.float64)
    clip([gradient], threshold, power)
    return float(gradient.norm())


def _accuracies(runs: list[Fitted]) -> list[float]:
    """Accuracy on held-back digits, in percent."""
    held = digits().held_inputs, digits().held_targets
    return [100 * accuracy_of(run.module, *held) for run in runs]


def _growth_picture(setup: Setup, growths: dict[float, Growths]) -> Picture:
    back = range(setup.steps + 1)
    panels = []
    for sigma, found in growths.items():
        curves = [
            curve(name, [geometric_mean(column) for column in zip(*runs, strict=True)], back)
            for name, runs in found.items()
        ]
        curves.append(curve("sigma^k", [sigma**k for k in back], back, dashed=True))
        panels.append(
            Panel(f"Largest singular value {sigma:g}", "time steps back, k",
                  "|dL/dh_(T-k)| / |dL/dh_T|", tuple(curves), y_log=True)
        )  # fmt: skip
    return Picture(
        "Gradients through time",
        "Norm of the gradient against steps back: below sigma^k always; a little above 1 it grows "
        "only in the linear net with equal singular values, far above 1 in all three",
        tuple(panels),
    )


def _clipping_picture(setup: Setup, trained: dict[str, list[Fitted]]) -> Picture:
    norms = [setup.threshold * 10 ** (k / 10) for k in range(-10, 31)]
    steps = [
        curve(name, [_after(norm, setup.threshold, power) for norm in norms], norms)
        for name, power in _POWERS.items()
        if power
    ]
    runs = [curve(name, found[0].losses) for name, found in trained.items()]
    return Picture(
        "Clipping by the norm, and by its square",
        "Left: norm after clipping against norm before: constant, or falling as 1/n. Right: the "
        "loss of one training with each: diverging, falling, falling slowly",
        (
            Panel("One gradient", "norm before", "norm after", tuple(steps), x_log=True, y_log=True,
                  marks=((setup.threshold, "threshold"),)),
            Panel("Training on digits, row by row", "step", "loss (nats)", tuple(runs), y_log=True),
        ),
    )  # fmt: skip


def _radii(setup: Setup, seed: int) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for name, equal in (("equal singular values", True), ("Gaussian W", False)):
        drawn = matrix(setup.units, setup.large, equal, generator(seed))
        radius = float(torch.linalg.eigvals(drawn).abs().max())
        rows.append((name, float(torch.linalg.matrix_norm(drawn, 2)), radius))
    return Table(("W above 1", "largest singular value", "spectral radius"), tuple(rows))


def _trainings(trained: dict[str, list[Fitted]]) -> Table:
    rows = tuple(
        (name, fmean(len(run.losses) for run in runs), fmean(_accuracies(runs)))
        for name, runs in trained.items()
    )
    return Table(("training", "steps before it ended", "held-back accuracy (%)"), rows)


EXPERIMENT = Experiment(
    name="recurrent-gradients",
    title="When do gradients vanish or explode through time, and what does clipping do?",
    claim="In a vanilla recurrent network gradients vanish when the largest singular value of W "
    "is below 1 and explode when it is above 1. Clipping the gradient by its norm cures the "
    "explosion.",
    hypothesis="dL/dh_(k-1) = W^T diag(tanh') dL/dh_k, and tanh' is at most 1: over k steps the "
    "norm grows by sigma^k at most, which is a proof below 1. Above 1 it is only a bound: the "
    "eigenvalues of W decide in the linear net, and tanh' shrinks each step. A Gaussian W has "
    "its eigenvalues within about sigma/2, so that sigma has to pass 2 there.",
    set_up="h_t = f(W h + U x) with {units} units over {steps} steps of {inputs} Gaussian inputs, "
    "in float64, f = tanh or nothing, {runs} draws; W has the largest singular value {small}, "
    "{large} or {larger}, all of them equal or those of a Gaussian matrix. Vanished: less than "
    "1/1000; exploded: more than 1000 times. Then a linear net with W at {large} reads digits row "
    "by row: SGD with rate {rate}, {updates} steps, {runs} seeds, threshold {threshold}.",
    setup=Setup(),
    sabotage="the largest singular value that should be below 1 is 1.1",
    sabotaged=Setup(small=1.1),
    measure=measure,
    next=(
        "python examples/vanilla_rnn_flow.py shows the gradient at every time step",
        "make W upper triangular with zeros on the diagonal: its spectral radius is 0, and the "
        "gradient of the linear net is exactly 0 after as many steps as there are units",
    ),
    references=(
        "R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural "
        "networks, ICML 2013",
        "Y. Bengio, P. Simard and P. Frasconi, Learning long-term dependencies with gradient "
        "descent is difficult, IEEE Transactions on Neural Networks 1994",
        "Stanford CS231n, lecture on recurrent neural networks: vanilla RNN gradient flow",
    ),
)
