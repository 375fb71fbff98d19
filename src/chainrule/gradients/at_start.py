"""At start: the data loss against what a fresh network should have."""

from __future__ import annotations

from math import log

from torch import Tensor

from chainrule.finding import Finding
from chainrule.gradients.target import Target


def loss_at_start(
    target: Target, outputs: list[Tensor]
) -> tuple[float | None, float | None, tuple[Finding, ...]]:
    """The data loss here against what small random scores give: ln C, or C - 1."""
    if not target.loss or outputs[0].dim():
        return None, None, ()
    value, classes = float(outputs[0]), target.classes
    expected = {"softmax": log(max(classes, 1)), "svm": float(classes - 1), "bce": log(2)}.get(
        target.loss
    )
    if expected is None:
        return value, None, ()
    if expected and abs(value - expected) / expected <= max(0.25, _examples(target) ** -0.5):
        return value, expected, ()
    finding = Finding(
        "initial-loss-unexpected",
        "",
        {"loss": value, "expected": expected},
        f"the {target.loss} loss is {value:.4g} here; a fresh network with small scores for "
        f"{classes} classes gives {expected:.4g}",
        "at the start of training: look at the scale of the scores; later it is as it should be",
    )
    return value, expected, (finding,)


def _examples(target: Target) -> int:
    """Examples in the minibatch: few of them are off by chance, by about 1/sqrt(their number)."""
    problem = target.problem
    sizes = [len(problem.leaves[name]) for name in problem.inputs if problem.leaves[name].dim()]
    return max(sizes, default=1)
