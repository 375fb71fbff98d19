"""SVM and softmax loss: what each does to an example that is already right."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from chainrule.nn.losses import LOSSES
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, accuracy_of, digits, fit, net
from chainrule.study.measured import Part, exact, mean_of, worst_of
from chainrule.study.picture import Panel, Picture, Table, curve

_ABOVE_ZERO = 1e-45  # the smallest number of float32 that is not 0 is 1.4e-45
_NAMES = {"svm": "SVM", "softmax": "softmax"}
_SCALES = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        classes: of the example.
        gap: its right score is so far above all the others, in margins of the SVM loss.
        far: a much larger gap.
        network: notation, for digits.
        steps: updates of each training.
        rate: learning rate (SGD).
        every: steps between two looks at the gradients.
        runs: seeds of each.
    """

    classes: int = 10
    gap: float = 10.0
    far: float = 150.0
    network: str = "FC-64, RELU, FC-10"
    steps: int = 500
    rate: float = 0.1
    every: int = 25
    runs: int = 5


@dataclass
class _Trained:
    """One training: shares of examples without gradient by the step, and the net."""

    module: nn.Module
    accuracy: float
    shares: list[float] = field(default_factory=list)


def measure(setup: Setup, seed: int) -> Outcome:
    """One example at growing distance, then a net trained with each loss."""
    trained = {
        loss: [_train(setup, loss, seed + run) for run in range(setup.runs)] for loss in _NAMES
    }
    parts = (*_svm_parts(setup), *_softmax_parts(setup), *_trained_parts(trained))
    pictures = (_distance_picture(setup), _share_picture(setup, trained))
    return Outcome(parts, pictures, (_table(trained),), _NOTES)


_NOTES = (
    "With real numbers softmax is never content; in float32 e^-150 is 0, the probability of the "
    "right class rounds to 1, and loss and gradient are exactly 0 there, too.",
)


def one_example(loss: str, gap: float, classes: int) -> tuple[float, float]:
    """Loss and norm of its gradient in the scores, float32: right score ``gap``, the others 0."""
    scores = torch.zeros(1, classes)
    scores[0, 0] = gap
    scores.requires_grad_()
    value = LOSSES[loss](scores, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(value, scores)
    return float(value.detach()), float(gradient.double().norm())


def without_gradient(loss: str, scores: Tensor, targets: Tensor) -> float:
    """Share of examples the gradient of whose loss in the scores is exactly 0.

    Args:
        loss: svm or softmax.
        scores: (N, C), float32.
        targets: (N,) class numbers.
    """
    leaf = scores.detach().clone().requires_grad_()
    total = LOSSES[loss](leaf, targets) * len(leaf)  # the sum, lest a mean round to 0
    (gradient,) = torch.autograd.grad(total, leaf)
    return float((gradient == 0).all(1).double().mean())


def _svm_parts(setup: Setup) -> tuple[Part, ...]:
    value, norm = one_example("svm", setup.gap, setup.classes)
    where = f"right score {setup.gap:g} above the others"
    return (
        Part(
            "the SVM loss of an example beyond the margin is exactly 0",
            exact(f"SVM loss, {where}", value), at_most=0,
        ),
        Part(
            "and so is its gradient",
            exact(f"norm of dL/ds, SVM loss, {where}", norm), at_most=0,
        ),
    )  # fmt: skip


def _softmax_parts(setup: Setup) -> tuple[Part, ...]:
    parts = []
    for gap in (setup.gap, setup.far):
        value, norm = one_example("softmax", gap, setup.classes)
        where, when = (
            f"right score {gap:g} above the others",
            f"scores are {gap:g} apart in float32",
        )
        parts += [
            Part(
                "the softmax loss of such an example is not 0",
                exact(f"softmax loss, {where}, float32", value, "nats"),
                at_least=_ABOVE_ZERO, when=when,
            ),
            Part(
                "its gradient keeps pushing",
                exact(f"norm of dL/ds, softmax loss, {where}, float32", norm),
                at_least=_ABOVE_ZERO, when=when,
            ),
        ]  # fmt: skip
    return tuple(parts)


def _trained_parts(trained: dict[str, list[_Trained]]) -> tuple[Part, ...]:
    svm, softmax = ([run.shares[-1] for run in trained[loss]] for loss in ("svm", "softmax"))
    return (
        Part(
            "after training most examples have no gradient at all with the SVM loss",
            mean_of("share of training examples without gradient, SVM", svm, "%"),
            at_least=50,
        ),
        Part(
            "with the softmax loss every example still has one",
            worst_of("share of training examples without gradient, softmax", softmax, "%"),
            at_most=0,
        ),
    )  # fmt: skip


def _train(setup: Setup, loss: str, seed: int) -> _Trained:
    """A net trained with one loss, looked at every few steps."""
    material, module = digits(seed=seed).flat(), net(setup.network, seed, (64,))
    found = _Trained(module, 0.0)

    def look(step: int, module: nn.Module) -> None:
        if step % setup.every == 0:
            scores = _scores(module, material)
            found.shares.append(100 * without_gradient(loss, scores, material.targets))

    fit(module, material, steps=setup.steps, seed=seed, rate=setup.rate, loss=loss, watch=look)
    look(0, module)  # after the last step
    found.accuracy = 100 * accuracy_of(module, material.held_inputs, material.held_targets)
    return found


@torch.no_grad()
def _scores(module: nn.Module, material: Material) -> Tensor:
    scores: Tensor = module(material.inputs)
    return scores


def _distance_picture(setup: Setup) -> Picture:
    gaps = [place / 4 for place in range(641)]
    found = {loss: [one_example(loss, gap, setup.classes) for gap in gaps] for loss in _NAMES}
    panels = tuple(
        Panel(
            title, "right score above the others", label,
            tuple(curve(_NAMES[loss], [pair[which] for pair in pairs], gaps)
                  for loss, pairs in found.items()),
            y_log=True,
        )
        for which, (title, label) in enumerate(
            (("Loss of one example", "loss"), ("Its gradient", "norm of dL/ds"))
        )
    )  # fmt: skip
    return Picture(
        "One example, ever better classified (float32; what is exactly 0 is left out)",
        "The SVM curves end at the margin of 1; those of softmax fall by e for each unit, the loss "
        "to about 17 and the gradient to about 104, where float32 has nothing smaller",
        panels,
    )


def _share_picture(setup: Setup, trained: dict[str, list[_Trained]]) -> Picture:
    steps = [*range(0, setup.steps, setup.every), setup.steps]
    curves = []
    for loss, runs in trained.items():
        columns = zip(*(run.shares for run in runs), strict=True)
        curves.append(curve(_NAMES[loss], [sum(c) / len(c) for c in columns], steps))
    panel = Panel(
        "Training examples without gradient", "step", "share (%), mean over seeds", tuple(curves)
    )
    return Picture(
        "How many examples still teach",
        "Share of examples without gradient against the step: it rises with SVM, stays 0 with "
        "softmax",
        (panel,),
    )


def _table(trained: dict[str, list[_Trained]]) -> Table:
    material = digits().flat()
    rows: list[tuple[str | float, ...]] = []
    for loss, runs in trained.items():
        shares = [
            sum(without_gradient(loss, scale * _scores(run.module, material), material.targets)
                for run in runs) / len(runs)
            for scale in _SCALES
        ]  # fmt: skip
        accuracy = sum(run.accuracy for run in runs) / len(runs)
        rows.append((_NAMES[loss], accuracy, *(100 * share for share in shares)))
    return Table(
        ("loss", "held-back accuracy (%)", "without gradient (%)", "scores x 10 (%)",
         "scores x 100 (%)"),
        tuple(rows),
    )  # fmt: skip


EXPERIMENT = Experiment(
    name="svm-and-softmax",
    title="What do SVM and softmax loss do to an example that is already right?",
    claim="The SVM loss is content once the margin is met: its loss and gradient are exactly 0, "
    "and the example teaches no more. The softmax loss never is: it always wants the right score "
    "higher and keeps pushing.",
    hypothesis="max(0, s_j - s_y + 1) and its slope are 0 where s_y exceeds s_j by 1. Softmax has "
    "-log p_y > 0 and dL/ds_j = p_j > 0 at any distance, though both shrink as e^-distance, and "
    "below some size a float is 0.",
    set_up="One example of {classes} classes whose right score is {gap} or {far} above the others, "
    "in float32; then {network} on digits, SGD with rate {rate}, minibatches of 64, {steps} steps, "
    "{runs} seeds with each loss. Without gradient: every dL/ds_j is exactly 0.",
    setup=Setup(),
    sabotage="the right score is only 0.5 above the others: the margin is not met",
    sabotaged=Setup(gap=0.5),
    measure=measure,
    next=(
        "chainrule train 'FC-64, RELU, FC-10' --data digits --loss svm",
        "train the softmax net ten times as long: the norm of its weights keeps growing",
    ),
    references=(
        "Stanford CS231n, notes on linear classification: SVM vs. Softmax",
        "J. Weston and C. Watkins, Support vector machines for multi-class pattern recognition, "
        "ESANN 1999",
    ),
)
