"""Zero weights: do random biases alone break the symmetry between units?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.nn.initializers import initialize
from chainrule.nn.weighted import WeightedLayer, weighted_layers
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import accuracy_of, digits, fit, generator, net
from chainrule.study.measured import Part, mean_of, median_of, worst_of
from chainrule.study.picture import Curve, Panel, Picture, Table, curve

_APART = 1e-6  # rows further apart than this share of the longest are more than rounding apart
_EVERY = 10  # steps between two looks
_ACTIVATIONS = ("TANH", "SIGMOID", "RELU")
_NAMES = {"TANH": "tanh", "SIGMOID": "sigmoid", "RELU": "ReLU"}


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        units: of the hidden layer.
        bias_std: standard deviation of the random biases; the value of the equal ones.
        random_biases: whether what counts as random is so.
        steps: updates of each training.
        batch: examples per minibatch.
        rate: learning rate (SGD).
        runs: seeds of each.
    """

    units: int = 16
    bias_std: float = 0.5
    random_biases: bool = True
    steps: int = 300
    batch: int = 64
    rate: float = 0.2
    runs: int = 5


@dataclass(frozen=True)
class _Run:
    """One training from zero weights.

    Attributes:
        distinct: number of distinct rows of W1 at every tenth step, and at the end.
        one_direction: share (%) of the squared norm of W1 along one direction, at these steps.
        asleep: units that are zero for every input at the start: ReLUs with a negative bias.
        moved: largest absolute weight of those units at the end.
        accuracy: held-back, in %.
    """

    distinct: list[int]
    one_direction: list[float]
    asleep: int
    moved: float
    accuracy: float


def measure(setup: Setup, seed: int) -> Outcome:
    """Train from zero weights with equal and with random biases; how many units differ?"""
    seeds = range(seed, seed + setup.runs)
    equal, drawn = (
        {name: [_train(setup, name, random, one) for one in seeds] for name in _ACTIVATIONS}
        for random in (False, setup.random_biases)
    )
    parts = (_same(equal), *(_part(setup, name, drawn[name]) for name in _ACTIVATIONS),
             _stay(drawn["RELU"]))  # fmt: skip
    notes = (
        "A ReLU whose bias starts below 0 is 0 for every input, so that neither its incoming nor "
        "its outgoing weights ever get a gradient: the short answer, that random biases break the "
        "symmetry, leaves this out.",
        "After two steps row j of W1 is h_j (1 - h_j^2) times one common vector (tanh): the units "
        "differ in length only and look at the same direction of the input; only the curvature of "
        "tanh and sigmoid separates them, later.",
    )
    return Outcome(parts, (_picture(setup, drawn),), (_table(setup, drawn, seeds),), notes)


def _train(setup: Setup, activation: str, random_biases: bool, seed: int) -> _Run:
    module = from_zero(
        f"FC-{setup.units}, {activation}, FC-10", setup.bias_std, seed if random_biases else None
    )
    first = next(layer for _, layer in weighted_layers(module))
    weight, material = first.weight.detach(), digits()
    asleep = _asleep(first, activation)
    distinct, directions = [], []

    def look(step: int, _: nn.Module) -> None:
        if step % _EVERY == 0:
            distinct.append(distinct_rows(weight))
            directions.append(one_direction(weight))

    fit(
        module, material, steps=setup.steps, seed=seed, batch=setup.batch, rate=setup.rate,
        watch=look,
    )  # fmt: skip
    look(0, module)
    return _Run(
        distinct, directions, int(asleep.sum()), float((weight.abs().amax(1) * asleep).max()),
        100 * accuracy_of(module, material.held_inputs, material.held_targets),
    )  # fmt: skip


def _asleep(layer: WeightedLayer, activation: str) -> Tensor:
    """(units,) which are ReLUs that give 0 while their weights are 0."""
    assert layer.bias is not None
    return (layer.bias.detach() < 0) & (activation == "RELU")


def from_zero(text: str, bias: float, seed: int | None) -> nn.Module:
    """A network of zero weights.

    Args:
        text: notation.
        bias: standard deviation of the biases, or all of them without a seed.
        seed: of the biases; None makes them equal.
    """
    module = initialize(net(text, seed or 0), "zeros")
    random = generator(seed or 0)
    for _, layer in weighted_layers(module):
        assert layer.bias is not None
        drawn = torch.randn(layer.bias.shape, generator=random)
        with torch.no_grad():
            layer.bias.copy_(bias * (torch.ones_like(drawn) if seed is None else drawn))
    return module


def distinct_rows(weight: Tensor, apart: float = _APART) -> int:
    """How many rows of a matrix (units, inputs) no earlier row comes close to.

    Args:
        weight: a row per unit.
        apart: rows that differ by more than this share of the longest row are distinct.
    """
    distances = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
    close = distances <= apart * weight.norm(dim=1).max()
    seen_before = close.tril(-1).any(1)
    return int((~seen_before).sum())


def one_direction(weight: Tensor) -> float:
    """Share of the squared norm along the first singular direction, in %; 100 for zeros."""
    squares = torch.linalg.svdvals(weight.double()).square()
    return 100 * float(squares[0] / squares.sum()) if float(squares.sum()) else 100.0


def _same(equal: dict[str, list[_Run]]) -> Part:
    most = [max(run.distinct) for runs in equal.values() for run in runs]
    return Part(
        "with equal biases all units of a layer stay the same",
        worst_of("largest number of distinct units, any activation", most, "units"),
        at_most=1,
    )


def _part(setup: Setup, name: str, runs: list[_Run]) -> Part:
    return Part(
        "random biases alone make all units of the layer different",
        median_of(f"distinct {_NAMES[name]} units at the end", [run.distinct[-1] for run in runs],
                  "units"),
        at_least=setup.units, when=f"the units are {_NAMES[name]}",
    )  # fmt: skip


def _stay(runs: list[_Run]) -> Part:
    return Part(
        "the weights of ReLU units that start with a negative bias stay exactly 0",
        worst_of("largest of their weights at the end", [run.moved for run in runs]),
        at_most=0, beside=True,
    )  # fmt: skip


def _picture(setup: Setup, drawn: dict[str, list[_Run]]) -> Picture:
    steps = [*range(0, setup.steps, _EVERY), setup.steps]
    grown = Panel(
        "Units that differ", "step", "distinct units (mean of the runs)",
        tuple(curve(_NAMES[name], _means([run.distinct for run in runs]), steps,
                    dashed=name == "SIGMOID") for name, runs in drawn.items()),
        marks=((setup.units, "all"), (1, "all the same")),
    )  # fmt: skip
    parted = Panel(
        "Directions that differ", "step", "squared norm of W1 along one direction (%)",
        tuple(curve(_NAMES[name], _means([run.one_direction for run in runs]), steps)
              for name, runs in drawn.items()),
        marks=((100.0, "rows differ in length only"),),
    )  # fmt: skip
    counts = [(run.asleep, run.distinct[-1]) for run in drawn["RELU"]]
    asleep, distinct = zip(*sorted(counts), strict=True)
    slept = Panel(
        "ReLU: each run", "units that start with a negative bias", "distinct units at the end",
        (Curve("measured", tuple(map(float, asleep)), tuple(map(float, distinct)), kind="points"),
         curve("those with a negative bias stay the same",
               [setup.units - count + (count > 0) for count in range(setup.units + 1)],
               range(setup.units + 1), dashed=True)),
    )  # fmt: skip
    return Picture(
        "Zero weights with random biases",
        "Distinct units against the step: all for tanh and sigmoid, part of them for ReLU; the "
        "share of W1 along one direction, which falls later; and for each ReLU run the units that "
        "differ against those that start with a negative bias",
        (grown, parted, slept),
    )


def _means(runs: list[list[int]] | list[list[float]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*runs, strict=True)]


def _table(setup: Setup, drawn: dict[str, list[_Run]], seeds: range) -> Table:
    rows = []
    for name, runs in drawn.items():
        usual = [_usual(setup, name, seed) for seed in seeds]
        rows.append((
            _NAMES[name], mean_of("", [run.one_direction[-1] for run in runs]).value,
            mean_of("", [run.accuracy for run in runs]).value, mean_of("", usual).value,
        ))  # fmt: skip
    heads = ("units", "squared norm of W1 along one direction (%)", "held-back accuracy (%)",
             "the same from PyTorch's weights (%)")  # fmt: skip
    return Table(heads, tuple(rows))


def _usual(setup: Setup, activation: str, seed: int) -> float:
    """Held-back accuracy after the same training from PyTorch's usual weights, in %."""
    module, material = net(f"FC-{setup.units}, {activation}, FC-10", seed), digits()
    fit(module, material, steps=setup.steps, seed=seed, batch=setup.batch, rate=setup.rate)
    return 100 * accuracy_of(module, material.held_inputs, material.held_targets)


EXPERIMENT = Experiment(
    name="zero-weights",
    title="Do random biases break the symmetry of zero weights?",
    claim="Units of a layer that start with the same weights and biases stay the same forever. "
    "Random biases are enough to break that symmetry, even where all weights start at zero.",
    hypothesis="Row j of dL/dW1 is f'(b_j) times the upstream gradient of unit j times the input. "
    "Different biases give different outputs f(b_j), hence different outgoing weights after one "
    "step and different incoming ones after two. It needs f(b_j) and f'(b_j) different from 0: "
    "so for tanh and sigmoid, not for a ReLU that starts with a negative bias.",
    set_up="FC-{units} of tanh, sigmoid or ReLU units and FC-10 on digits, all weights 0, biases "
    "normal with standard deviation {bias_std} or all equal to it; {steps} steps of SGD with rate "
    "{rate}, minibatches of {batch}, {runs} seeds. Units count as distinct where their "
    "incoming weights differ by more than a millionth of the longest row.",
    setup=Setup(),
    sabotage="the biases are not random: all start equal",
    sabotaged=Setup(random_biases=False),
    measure=measure,
    next=(
        "chainrule train 'FC-16, RELU, FC-10' --data digits --initialization zeros, then "
        "chainrule flow last names the symmetric units",
        "start with weights of standard deviation 1e-3 instead of 0: how few random numbers are "
        "enough for the ReLU?",
    ),
    references=(
        "Stanford CS231n, notes on neural networks, part 2: weight initialization",
        "I. Goodfellow, Y. Bengio and A. Courville, Deep Learning, 2016, section 8.4: parameter "
        "initialization strategies",
    ),
)
