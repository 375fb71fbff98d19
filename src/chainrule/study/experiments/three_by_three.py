"""Three convolutions of 3 x 3 against one of 7 x 7: field, parameters, accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from chainrule.analysis.describe import describe
from chainrule.analysis.description import Description
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import accuracy_of, digits, fit, net
from chainrule.study.measured import Part, exact, mean_of
from chainrule.study.picture import Curve, Panel, Picture, Table

_EVERY = 50  # steps between two looks at the accuracy
Trained = dict[str, list[dict[int, float]]]  # by stack and run: accuracy (%) by updates so far


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        kernel: of each of the three convolutions.
        channels: C, of every volume.
        steps: updates after which accuracies are compared.
        long_steps: and once more after so many.
        batch: examples per minibatch.
        rate: learning rate (Adam).
        runs: seeds of each.
        long_runs: the first of them, which train on to ``long_steps``.
    """

    kernel: int = 3
    channels: int = 4
    steps: int = 50
    long_steps: int = 400
    batch: int = 16
    rate: float = 0.01
    runs: int = 16
    long_runs: int = 4


def measure(setup: Setup, seed: int) -> Outcome:
    """Count both stacks, then train a net with each from the same seeds."""
    described = {
        name: describe(text, input=(setup.channels, 8, 8)) for name, text in stacks(setup).items()
    }
    trained = {
        name: [
            _train(
                setup, text, seed + run, setup.long_steps if run < setup.long_runs else setup.steps
            )
            for run in range(setup.runs)
        ]
        for name, text in stacks(setup).items()
    }
    parts = (
        *_counts(setup, described),
        _accuracy(trained, setup.steps),
        _accuracy(trained, setup.long_steps),
    )
    tables = (_sizes(described), _accuracies(setup, trained))
    return Outcome(parts, (_picture(setup, trained),), tables, _NOTES)


_NOTES = (
    "On images of 8 x 8 a 7 x 7 filter sees nearly everything in one layer, and one layer "
    "trains sooner than three: what the stack saves in weights it must make up in steps.",
    "The few steps are less than one pass over the data: they tell who is ahead early, not who is "
    "better in the end. After many more, accuracies differ more from seed to seed than between "
    "the stacks, so that it takes many runs to tell them apart.",
)


def stacks(setup: Setup) -> dict[str, str]:
    """Both stacks in notation."""
    one = f"CONV{setup.kernel}-{setup.channels}, RELU"
    return {"three": f"[{one}] x 3", "one of 7 x 7": f"CONV7-{setup.channels}, RELU"}


def weights_per_square(setup: Setup, described: Description) -> float:
    """Weights without biases, in units of C^2."""
    biases = setup.channels * sum(row.parameters > 0 for row in described.layers)
    return (described.totals.parameters - biases) / setup.channels**2


def field(described: Description) -> int:
    """Height of what a unit after a stack sees, in pixels."""
    found = described.layers[-1].receptive_field
    assert found is not None
    assert found.size is not None
    return found.size[0]


def _counts(setup: Setup, described: dict[str, Description]) -> tuple[Part, ...]:
    three, one = described.values()
    squares = [weights_per_square(setup, item) for item in (three, one)]
    return (
        Part(
            "the three see as much of the input as the one",
            exact("difference of the receptive fields", abs(field(three) - field(one)), "pixels"),
            at_most=0,
        ),
        Part(
            "the three have fewer parameters, 27 C^2 against 49 C^2",
            exact("weights of the three over those of the one", squares[0] / squares[1], "times"),
            at_most=27 / 49, when="weights are counted",
        ),
    )  # fmt: skip


def _train(setup: Setup, stack: str, seed: int, steps: int) -> dict[int, float]:
    """Accuracy on held-back digits (%) by the updates so far, every few of them and at the end."""
    material = digits(seed=seed)
    module = net(f"CONV1-{setup.channels}, RELU, {stack}, POOL2, FC-10", seed)
    found: dict[int, float] = {}

    def look(step: int, module: nn.Module) -> None:
        if step % _EVERY == 0 or step in (setup.steps, steps):
            right = accuracy_of(module, material.held_inputs, material.held_targets)
            found[step] = 100 * right

    fit(
        module, material, steps=steps, seed=seed, batch=setup.batch, rate=setup.rate,
        update_rule="adam", watch=look,
    )  # fmt: skip
    look(steps, module)  # after the last step
    return found


def _reached(runs: list[dict[int, float]], steps: int) -> list[float]:
    """Accuracy after so many steps of the runs that went so far."""
    return [run[steps] for run in runs if steps in run]


def _accuracy(trained: Trained, steps: int) -> Part:
    three, one = (_reached(runs, steps) for runs in trained.values())
    return Part(
        "the three are at least as accurate",
        mean_of("accuracy on held-back digits, three less one, seed by seed",
                [mine - its for mine, its in zip(three, one, strict=True)], "points"),
        at_least=0,
        when=f"accuracy on digits after {steps} steps is compared",
    )  # fmt: skip


def _curve(setup: Setup, name: str, runs: list[dict[int, float]]) -> Curve:
    """Mean with its interval over the runs that train to the end."""
    runs = runs[: setup.long_runs]
    found = [mean_of("accuracy", _reached(runs, step)) for step in runs[0]]
    low, mean, high = zip(*((one.low, one.value, one.high) for one in found), strict=True)
    return Curve(name, tuple(map(float, runs[0])), mean, low, high)


def _picture(setup: Setup, trained: Trained) -> Picture:
    curves = tuple(_curve(setup, name, runs) for name, runs in trained.items())
    panel = Panel("Accuracy on held-back digits", "step", "accuracy (%)", curves)
    return Picture(
        f"Three small convolutions against one large, {setup.long_runs} runs of each",
        "Mean accuracy against the step with its interval as a band: one large convolution is "
        "ahead at first, later the bands lie over each other",
        (panel,),
    )


def _sizes(described: dict[str, Description]) -> Table:
    heads = ("stack", "receptive field (pixels)", "parameters", "MACs of an example")
    return Table(heads, tuple(
        (name, field(item), item.totals.parameters, item.totals.macs)
        for name, item in described.items()
    ))  # fmt: skip


def _accuracies(setup: Setup, trained: Trained) -> Table:
    rows = []
    for steps in (setup.steps, setup.long_steps):
        for name, runs in trained.items():
            found = _reached(runs, steps)
            rows.append((name, steps, len(found), sum(found) / len(found), min(found)))
    heads = ("stack", "steps", "runs", "accuracy (%)", "of the worst run (%)")
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="three-by-three",
    title="Are three 3 x 3 convolutions better than one of 7 x 7?",
    claim="A stack of three 3 x 3 convolutions sees as much as one of 7 x 7 with fewer parameters, "
    "27 C^2 against 49 C^2, and with three nonlinearities in place of one it is more expressive: "
    "it classifies at least as well.",
    hypothesis="n = k + s(m - 1) gives 3, 5, 7 pixels; weights are k^2 C^2 a layer. That the "
    "deeper stack is more accurate was found on large images with long training; it need not "
    "show on small ones.",
    set_up="CONV1-{channels}, RELU, then three convolutions of {kernel} x {kernel} or one of 7 x 7 "
    "with RELU after each, POOL2, FC-10, on digits; Adam with rate {rate}, minibatches of "
    "{batch}, {runs} seeds of {steps} steps, {long_runs} of them on to {long_steps}. At least as "
    "accurate: the 95 % interval of the paired difference lies at or above 0.",
    setup=Setup(),
    sabotage="the three convolutions are 5 x 5",
    sabotaged=Setup(kernel=5),
    measure=measure,
    next=(
        "give each stack 16 channels and twenty seeds: does the deeper one win in the end?",
        "chainrule compare 'INPUT 32x32x16, [CONV3-16, RELU] x 3' 'INPUT 32x32x16, CONV7-16, RELU'",
    ),
    references=(
        "K. Simonyan and A. Zisserman, Very deep convolutional networks for large-scale image "
        "recognition, ICLR 2015",
        "Stanford CS231n, notes on convolutional networks: prefer a stack of small filter CONV",
    ),
)
