"""Check: are the gradients right, and if not, which operation is wrong, or is it only a kink?"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.analysis.tracer import same_random_state
from chainrule.errors import GradientError, suggestion
from chainrule.gradients.at_start import loss_at_start
from chainrule.gradients.compare import Plan, compare_tensor, compare_tensors
from chainrule.gradients.forward_mode import forward_mode_difference
from chainrule.gradients.locate import locate
from chainrule.gradients.numerical import METHODS, Differences, largest_effect
from chainrule.gradients.penalized import penalty_check, penalty_findings
from chainrule.gradients.planner import DEAR, Planner
from chainrule.gradients.prefix import Prefix
from chainrule.gradients.problem import Problem, as_real
from chainrule.gradients.resolve import target_of
from chainrule.gradients.result import GradientCheck, TensorCheck, gravest
from chainrule.gradients.second_order import second_order_problem
from chainrule.gradients.target import Target

_SECONDS = 30.0  # by default a check is as thorough as this allows
_DTYPES = {"float64": torch.float64, "float32": torch.float32}


def check_gradients(
    target: Any,
    inputs: Any = None,
    *,
    loss: Any = None,
    targets: Tensor | None = None,
    dtype: str = "float64",
    method: str = "central",
    batch: int = 2,
    exhaustive: bool | None = None,
    samples: int = 16,
    directions: int = 2,
    seconds: float = _SECONDS,
    seed: int = 0,
    second_order: bool = False,
    weight_decay: float = 0.0,
    penalty: str = "l2",
) -> GradientCheck:
    """Compare gradients with differences of values, and name the operation that is wrong.

    Each element's step is ``eps^(1/3)`` of its scale; each difference comes with its bound, so
    that a tiny gradient is not condemned for a ratio. A mismatch is a kink only with proof: the
    pieces of ReLU, max-pooling, hinge and comparisons change between x - h and x + h, and beside
    the kink the gradient is right. What is given stays as it is: copies are checked.

    Args:
        target: a network in any form ``chainrule.network`` takes, a ``torch.autograd.Function``
            class, a loss or its name, a function of tensors, ``(forward, backward)`` as a pair of
            NumPy functions, or one NumPy function that gives ``(loss, gradients)``.
        inputs: for networks the shape of one example, ``(C, H, W)``, or tensors with their
            minibatch axis; for functions tensors, arrays or whole shapes, one for each argument.
        loss: name of a data loss, or a function of scores and targets; by default all outputs
            are checked in the form of a vector-Jacobian product with a random upstream gradient.
        targets: what the loss compares with; drawn at random by default.
        dtype: "float64" or "float32"; of the copy that is checked.
        method: "central" (error h^2), "forward" (error h) or "richardson" (error h^4).
        batch: examples in the minibatch, for networks given by shape.
        exhaustive: compare every element; None where ``seconds`` allow it.
        samples: elements of each tensor where not exhaustive: half of them those with the
            largest gradient, some without any.
        directions: random directions of each tensor where not exhaustive.
        seconds: how long it may take, about.
        seed: fixes the weights of networks given by text, dropout, and what else is drawn.
        second_order: check the gradient of the gradient as well.
        weight_decay: strength of a penalty, which is checked apart from the data loss.
        penalty: "l2", "l1" or "elastic".

    Raises:
        GradientError: nothing to check, not finite, the backward pass fails, or too large.
        NetworkError, ShapeError: no such network, or the inputs do not fit.

    Source: thresholds of the relative error (1e-7 fine, 1e-4 suspicious where there are kinks,
    1e-2 wrong): CS231n, Stanford, notes on gradient checks.

    Examples:
        >>> check_gradients(torch.sin, torch.tensor([1.0, 2.0])).verdict
        'correct'
        >>> check_gradients(torch.relu, torch.tensor([0.0, 2.0])).verdict
        'kink'
    """
    began = time.perf_counter()
    _refuse(dtype, method, samples, directions, seconds, batch)
    with same_random_state():
        _seed(seed)
        found = target_of(target, inputs, loss, targets, _DTYPES[dtype], batch)
        plan_of = Planner(exhaustive, samples, directions, method, began + seconds)
        answer = _checked(found, plan_of, _shuffles(target, inputs))
        if second_order:
            again = _checked(replace_problem(found, second_order_problem(found.problem)), plan_of)
            answer = _with_second(answer, again)
        if weight_decay:
            apart = penalty_check(found, weight_decay, penalty, method)
            findings = penalty_findings(found, weight_decay, penalty)
            answer = replace(
                answer,
                regularization=apart,
                findings=(*answer.findings, *findings),
                verdict=gravest([answer.verdict, apart.verdict]),
            )
    return replace(answer, seconds=time.perf_counter() - began)


def replace_problem(target: Target, problem: Problem) -> Target:
    """The same target with another problem."""
    return replace(target, problem=problem, loss="", notes=list(target.notes))


def _refuse(
    dtype: str, method: str, samples: int, directions: int, seconds: float, batch: int
) -> None:
    for name, value, choices in (("dtype", dtype, _DTYPES), ("method", method, METHODS)):
        if value not in choices:
            raise GradientError(
                f"{name} got '{value}'{suggestion(str(value), choices)}, wants one of "
                f"{', '.join(choices)}"
            )
    for name, number, least in (("samples", samples, 0), ("directions", directions, 0),
                                ("batch", batch, 1)):  # fmt: skip
        if not isinstance(number, int) or number < least:
            raise GradientError(f"{name} got {number}, wants a whole number from {least}")
    if samples + directions == 0:
        raise GradientError("samples and directions are both 0: nothing would be compared")
    if not seconds > 0:
        raise GradientError(f"seconds got {seconds}, wants a number above 0")


def _seed(seed: int) -> None:
    torch.default_generator.manual_seed(seed)  # ``torch.manual_seed`` looks for accelerators
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _shuffles(target: Any, inputs: Any) -> bool:
    """Whether values were given, which may be too orderly to show a fault (sorted, all equal)."""
    items = inputs if isinstance(inputs, tuple | list) else [inputs]
    return any(hasattr(item, "dtype") for item in items) and not isinstance(target, torch.nn.Module)


def _checked(target: Target, planner: Planner, shuffle: bool = False) -> GradientCheck:
    problem = target.problem
    began = time.perf_counter()
    problem.start()
    gradient = problem.gradient_after_another()
    once = time.perf_counter()
    first = problem.evaluate(problem.leaves)
    seconds = time.perf_counter() - once
    if seconds > DEAR and problem.module is not None:
        _skip_prefix(target)
    once = time.perf_counter()
    second = problem.evaluate(problem.leaves)
    seconds = min(seconds, time.perf_counter() - once)  # the first one may have loaded something
    notes = list(target.notes)
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        spread = max(
            float((as_real(a) - as_real(b)).abs().max()) for a, b in zip(first, second, strict=True)
        )
        notes.append(
            f"not deterministic: the same point gives values that differ by up to {spread:.3g}, "
            "even with all random generators fixed; differences are only as certain as that"
        )
    plan = planner.plan(problem, seconds, problem.watched)
    room = _room(problem) if seconds <= DEAR and (plan.exhaustive or plan.samples) else 0
    effect = largest_effect(problem, gradient, first)
    differences = Differences(problem, room, first, effect)
    rows = compare_tensors(differences, gradient, plan)
    if shuffle:
        rows = _also_shuffled(differences, rows, plan, notes)
    verdict = gravest([row.verdict for row in rows])
    culprit = None
    if verdict == "wrong":
        culprit = locate(differences, [row.name for row in rows if row.verdict == "wrong"])
    loss, expected, findings = loss_at_start(target, first)
    return GradientCheck(
        problem.name,
        verdict,
        rows,
        culprit,
        "exhaustive" if plan.exhaustive else "sampled",
        plan.method,
        str(first[0].dtype).removeprefix("torch."),
        problem.evaluations,
        time.perf_counter() - began,
        loss,
        expected,
        forward_mode_difference(problem, gradient),
        findings=findings,
        notes=tuple(notes),
    )


def _skip_prefix(target: Target) -> None:
    """Let evaluations begin where a change is first felt."""
    graph = target.graph()
    if graph is not None and target.problem.module is not None:
        target.problem.prefix = Prefix(target.problem.module, graph)
        target.problem.prefix.keep()


def _room(problem: Problem) -> int:
    """Bytes that one evaluation holds, about: what autograd keeps for the backward pass."""
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        problem.with_gradient(problem.leaves)
    return kept


def _also_shuffled(
    differences: Differences, rows: tuple[TensorCheck, ...], plan: Plan, notes: list[str]
) -> tuple[TensorCheck, ...]:
    """The same check with the given values in another order.

    Sorted or equal values hide faults: max-pooling that always takes the last element passes on
    values that grow.
    """
    problem = differences.problem
    generator = torch.Generator().manual_seed(6)
    leaves = {
        name: leaf.flatten()[torch.randperm(leaf.numel(), generator=generator)].view(leaf.shape)
        for name, leaf in problem.leaves.items()
    }
    moved = replace(problem, leaves=leaves, prefix=None)
    try:
        outputs = moved.evaluate(leaves)
        gradient = moved.gradient()
    except Exception:  # noqa: BLE001 - the order of the values matters to the function
        return rows
    if not all(bool(torch.isfinite(item).all()) for item in outputs):
        return rows
    effect = largest_effect(moved, gradient, outputs)
    other = Differences(moved, differences.room, outputs, effect)
    made = []
    for row in rows:
        again = compare_tensor(other, gradient, row.name, plan)
        worse = row.verdict != "wrong" and again.verdict == "wrong"
        made.append(
            replace(
                again,
                note="; ".join(filter(None, ("with its values in another order", again.note))),
            )
            if worse
            else row
        )
    problem.evaluations = moved.evaluations
    if any("another order" in row.note for row in made):
        differences.problem = moved
    return tuple(made)


def _with_second(answer: GradientCheck, again: GradientCheck) -> GradientCheck:
    return replace(
        answer, second_order=again, verdict=gravest([answer.verdict, again.verdict]),
        culprit=answer.culprit or again.culprit,
    )  # fmt: skip
