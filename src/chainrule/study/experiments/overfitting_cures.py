"""Overfitting on few digits, and what each of the usual cures does to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Change, Material, accuracy_of, digits, fit, loss_of, net
from chainrule.study.measured import Measured, Part, mean_of
from chainrule.study.picture import Curve, Panel, Picture, Table

_OVERFITS = 5.0  # percentage points between training and validation accuracy
_NARROWER = 0.02  # a gap that is narrower by less (nats) makes no difference
_BETTER = 1.0  # nor does an accuracy that is higher by less (percentage points)


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        examples: in the training set.
        more: in that of the cure "more data".
        penalty: lambda of lambda/2 sum of W^2.
        dropped: share of activations, or of weights, that is dropped.
        skipped: share of examples for which a branch is skipped.
        aim: training loss (nats) at which each training ends: gaps are compared at the same fit.
        most_steps: updates after which a training ends all the same.
        batch: examples per minibatch.
        rate: learning rate (SGD).
        validation: which examples the networks are judged by, "unseen" or "training".
        runs: seeds of each.
    """

    examples: int = 100
    more: int = 400
    penalty: float = 0.03
    dropped: float = 0.5
    skipped: float = 0.2
    aim: float = 0.1
    most_steps: int = 2000
    batch: int = 25
    rate: float = 0.1
    validation: str = "unseen"
    runs: int = 8


def shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """Each image moved by up to a pixel both ways; what comes in is background.

    Args:
        images: (N, C, H, W).
        random: draws the moves.

    Returns:
        (N, C, H, W).
    """
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), value=float(images.min()))
    down, right = torch.randint(0, 3, (2, count), generator=random)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, 3, 3, H, W)
    return windows[torch.arange(count), :, down, right]


@dataclass(frozen=True)
class Cure:
    """A training with one thing changed.

    Attributes:
        name: of the cure.
        network: notation.
        examples: in the training set.
        penalty: lambda.
        change: augmentation.
    """

    name: str
    network: str
    examples: int
    penalty: float = 0.0
    change: Change | None = None


def cures(setup: Setup) -> tuple[Cure, ...]:
    """The plain training first; every network is the plain one with something put in."""
    plain, few = "FC-64, RELU, RES[FC-64, RELU], FC-10", setup.examples
    dropout, connect = f"DROPOUT({setup.dropped})", f"DROPCONNECT({setup.dropped})"
    return (
        Cure("none", plain, few),
        Cure("more data", plain, setup.more),
        Cure("augmentation", plain, few, change=shifted),
        Cure("L2", plain, few, penalty=setup.penalty),
        Cure("batchnorm", "FC-64, BN, RELU, RES[FC-64, BN, RELU], FC-10", few),
        Cure("dropout", f"FC-64, RELU, {dropout}, RES[FC-64, RELU, {dropout}], FC-10", few),
        Cure("dropconnect",
             f"{connect} FC-64, RELU, RES[{connect} FC-64, RELU], FC-10", few),
        Cure("stochastic depth",
             f"FC-64, RELU, DROPPATH({setup.skipped})[FC-64, RELU], FC-10", few),
    )  # fmt: skip


@dataclass(frozen=True)
class Found:
    """How a network does after its training; losses in nats, accuracies in %."""

    steps: int
    train_loss: float
    train_accuracy: float
    loss: float
    accuracy: float

    @property
    def gap(self) -> float:
        """Validation loss less training loss (nats)."""
        return self.loss - self.train_loss


def measure(setup: Setup, seed: int) -> Outcome:
    """Train with each cure from the same seeds to the same fit; judge the gap and the accuracy."""
    found = {
        cure.name: [_train(setup, cure, seed + run) for run in range(setup.runs)]
        for cure in cures(setup)
    }
    plain = found.pop("none")
    over = mean_of("training - validation accuracy",
                   [run.train_accuracy - run.accuracy for run in plain], "points")  # fmt: skip
    parts = [Part("without a cure the network overfits", over, at_least=_OVERFITS)]
    for name, runs in found.items():
        parts += _parts(name, runs, plain)
    notes = (
        "After the same number of steps any cure that slows the training has a narrower gap, "
        "because it fits less; so each trains here until it fits as well as the others.",
        "Shifts by a pixel, an eighth of these images, lower the accuracy here: validation, with "
        "centred digits, does not ask for them.",
        "Each cure was tried at one strength and with one aim; another may do better.",
        _fit_words(setup, [*plain, *(run for runs in found.values() for run in runs)]),
    )
    every = {"none": plain, **found}
    return Outcome(tuple(parts), (_picture(every),), (_table(every),), notes)


def _fit_words(setup: Setup, runs: list[Found]) -> str:
    """Whether the fits are comparable, in numbers."""
    losses = [run.train_loss for run in runs]
    reached = sum(loss <= setup.aim for loss in losses)
    return (
        f"{reached} of {len(runs)} trainings reached a training loss of {setup.aim:g} nats; at "
        f"their ends it is {min(losses):.3f} to {max(losses):.3f} nats."
    )


def _train(setup: Setup, cure: Cure, seed: int) -> Found:
    """One training; the same seed gives every cure the same examples and order."""
    material = digits(cure.examples, seed)
    module = net(cure.network, seed)

    def fits(_: int, module: nn.Module) -> bool:
        return loss_of(module, material.inputs, material.targets) <= setup.aim

    steps = len(
        fit(module, material, steps=setup.most_steps, seed=seed, batch=setup.batch,
            rate=setup.rate, weight_decay=cure.penalty, change=cure.change, watch=fits).losses
    )  # fmt: skip
    inputs, targets = _validation(setup, material, seed)
    return Found(
        steps,
        loss_of(module, material.inputs, material.targets),
        100 * accuracy_of(module, material.inputs, material.targets),
        loss_of(module, inputs, targets),
        100 * accuracy_of(module, inputs, targets),
    )


def _validation(setup: Setup, material: Material, seed: int) -> tuple[Tensor, Tensor]:
    """All examples that no training of this seed has seen, for small differences to show."""
    if setup.validation == "training":
        return material.inputs, material.targets
    whole = digits(len(digits().inputs), seed)  # in the order that training sets are taken from
    return (
        torch.cat([whole.inputs[setup.more :], whole.held_inputs]),
        torch.cat([whole.targets[setup.more :], whole.held_targets]),
    )


def _parts(name: str, runs: list[Found], plain: list[Found]) -> tuple[Part, ...]:
    """Paired with the plain training of the same seed; one circumstance where both agree."""
    gap = _paired(f"{name}: change of the gap", runs, plain, lambda run: run.gap, "nats")
    accuracy = _paired(f"{name}: change of the validation accuracy", runs, plain,
                       lambda run: run.accuracy, "points")  # fmt: skip
    when = f"given {name}"
    parts = (
        Part("the gap of the loss narrows", gap, at_most=-_NARROWER, when=when),
        Part("the validation accuracy rises", accuracy, at_least=_BETTER, when=when),
    )
    if parts[0].status == parts[1].status:
        return parts
    return (
        replace(parts[0], when=f"{when} (by the gap)"),
        replace(parts[1], when=f"{when} (by the accuracy)"),
    )


def _paired(
    name: str, runs: list[Found], plain: list[Found], of: Callable[[Found], float], unit: str
) -> Measured:
    pairs = zip(runs, plain, strict=True)
    return mean_of(name, [of(one) - of(other) for one, other in pairs], unit)


def _picture(found: dict[str, list[Found]]) -> Picture:
    gaps = [mean_of(name, [run.gap for run in runs]) for name, runs in found.items()]
    accuracies = [mean_of(name, [run.accuracy for run in runs]) for name, runs in found.items()]
    panels = (
        _panel("Gap", "validation - training loss (nats)", gaps, "bars"),
        _panel("Validation accuracy", "right (%)", accuracies, "points"),
    )
    return Picture(
        "Each cure beside none",
        "Gap of the loss and validation accuracy for each cure, with 95 % intervals over seeds",
        panels,
    )


def _panel(title: str, y_label: str, values: list[Measured], kind: str) -> Panel:
    places = tuple(float(place) for place in range(len(values)))
    found = Curve(
        "", places, tuple(one.value for one in values), tuple(one.low for one in values),
        tuple(one.high for one in values), kind="bars" if kind == "bars" else "points",
    )  # fmt: skip
    names = tuple(one.name for one in values)
    return Panel(title, "cure", y_label, (found,), categories=names,
                 marks=((values[0].value, "none"),))  # fmt: skip


def _table(found: dict[str, list[Found]]) -> Table:
    rows = tuple(
        (name, *(sum(column) / len(runs) for column in zip(*map(_numbers, runs), strict=True)))
        for name, runs in found.items()
    )
    heads = ("cure", "steps", "training loss (nats)", "validation loss (nats)", "gap (nats)",
             "training accuracy (%)", "validation accuracy (%)")  # fmt: skip
    return Table(heads, rows)


def _numbers(run: Found) -> tuple[float, ...]:
    return run.steps, run.train_loss, run.loss, run.gap, run.train_accuracy, run.accuracy


EXPERIMENT = Experiment(
    name="overfitting-cures",
    title="Which cure of overfitting does what?",
    claim="A network that overfits does well in training and worse in validation. More data, "
    "augmentation, an L2 penalty, batchnorm, dropout, dropconnect and stochastic depth cure that: "
    "the gap narrows and the validation accuracy rises.",
    hypothesis="Data and augmentation bring what the network has not seen, so they should help "
    "most. The others hold back the fit, and what fits less has a narrower gap for sure; at the "
    "same training loss it narrows only where they hold back what does not generalize.",
    set_up="FC-64, RELU, RES[FC-64, RELU], FC-10 on {examples} digits, SGD with rate {rate}, "
    "minibatches of {batch}, until the training loss, in evaluation mode, is {aim} nats or less "
    "(at most {most_steps} steps), {runs} seeds, judged by the {validation} examples. "
    "One thing changed for each cure: {more} examples; shifts by up to a pixel; lambda = "
    "{penalty}; batchnorm; dropout and dropconnect with {dropped}; the branch skipped for "
    "{skipped} of the examples. Narrower: by 0.02 nats; higher: by 1 percentage point.",
    setup=Setup(),
    sabotage="the networks are judged by the examples they were trained on",
    sabotaged=Setup(validation="training"),
    measure=measure,
    next=(
        "chainrule train 'FC-64, RELU, DROPOUT(0.5), FC-10' --data digits --limit 100",
        "combine two cures, say augmentation and dropout: do their effects add up?",
    ),
    references=(
        "N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, "
        "JMLR 15, 2014",
        "L. Wan et al., Regularization of neural networks using DropConnect, ICML 2013",
        "G. Huang et al., Deep networks with stochastic depth, ECCV 2016",
        "Stanford CS231n, notes on neural networks, part 2: regularization",
    ),
)
