"""Facts: what is kept of the tensors of a step, as plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chainrule.answer import Answer
from chainrule.diagnosis.layers import Activations
from chainrule.diagnosis.losses import CLASSES, LossCall, right_answers
from chainrule.diagnosis.parameters import ParameterStep
from chainrule.diagnosis.places import Place
from chainrule.gradients.flow_answer import SymmetricUnits

_CLOSE = 1e-4  # by how much float32 probabilities of a row may miss a sum of 1


@dataclass(frozen=True)
class TensorFacts(Answer):
    """A tensor in numbers.

    Attributes:
        shape: all axes.
        dtype: without "torch.".
        mean, std, low, high: of its finite values; NaN where there are none.
        not_finite: how many values are NaN or infinite.
        whole: whether all values are whole numbers.
        feature_spread: largest / median standard deviation over features (..., F), for inputs of
            two axes; None otherwise.
    """

    shape: tuple[int, ...]
    dtype: str
    mean: float
    std: float
    low: float
    high: float
    not_finite: int = 0
    whole: bool = False
    feature_spread: float | None = None


def facts_of(tensor: Tensor) -> TensorFacts:
    """A tensor's facts.

    Examples:
        >>> found = facts_of(torch.tensor([1, 2, 3]))
        >>> found.dtype, found.mean, found.whole
        ('int64', 2.0, True)
    """
    values = tensor.detach()
    kind = str(values.dtype).removeprefix("torch.")
    shape = tuple(values.shape)
    if not values.numel() or values.is_complex() or values.is_sparse:
        return TensorFacts(shape, kind, math.nan, math.nan, math.nan, math.nan)
    numbers = values.double()
    finite = numbers.isfinite()
    missing = values.numel() - int(finite.sum())
    kept = numbers[finite] if missing else numbers
    if not kept.numel():
        return TensorFacts(shape, kind, math.nan, math.nan, math.nan, math.nan, missing)
    variance, mean = torch.var_mean(kept, correction=0)
    low, high = torch.aminmax(kept)
    whole = not values.is_floating_point() or bool((kept == kept.round()).all())
    return TensorFacts(
        shape, kind, float(mean), math.sqrt(float(variance)), float(low), float(high), missing,
        whole, _feature_spread(numbers) if not missing and values.is_floating_point() else None,
    )  # fmt: skip


def _feature_spread(values: Tensor) -> float | None:
    if values.dim() != 2 or len(values) < 8 or values.shape[1] < 2:
        return None
    spread = values.std(0, correction=0)
    spread = spread[spread > 0]
    return float(spread.max() / spread.median()) if len(spread) > 1 else None


@dataclass(frozen=True)
class LossFacts(Answer):
    """One call of a loss function in numbers.

    Attributes:
        function: its name; of a loss that is written out the operations.
        task: "classes", "binary", "numbers" or "other".
        wants: "logits", "log-probabilities", "probabilities" or "numbers".
        reduction: "mean", "sum" or "none".
        value: mean loss per example or number, whatever the reduction.
        classes: number of scores per example.
        input, target: what it compares.
        shape: of what is averaged: differs from the input's where shapes broadcast.
        simplex: share of rows of the input that are probabilities: none negative, sum 1; None
            where there are no rows.
        unit_interval: whether the whole input lies in [0, 1].
        normalized: whether the input's exponentials sum to 1 in every row (log-probabilities).
        right, answers: right answers, and how many there are; None where the task has none.
        labels: distinct class numbers in the targets; 0 where they are none.
        one_class: share of the most frequent class.
        output_spread: mean over outputs of the standard deviation over examples.
        chain: operations between the network's output and the call.
        weighted: whether examples or classes count differently.
        written_out: whether the user wrote the loss as an expression.
        place: the line.
    """

    function: str
    task: str
    wants: str
    reduction: str
    value: float
    classes: int
    input: TensorFacts
    target: TensorFacts | None
    shape: tuple[int, ...]
    simplex: float | None
    unit_interval: bool
    normalized: bool
    right: int | None
    answers: int | None
    labels: int
    one_class: float
    output_spread: float
    chain: tuple[str, ...]
    written_out: bool
    at_zero: float | None
    place: Place | None
    weighted: bool = False


def loss_facts(call: LossCall) -> LossFacts:
    """The facts of a loss call."""
    given = call.input.detach()
    found = right_answers(call)
    rows = _rows(given, call)
    simplex = normalized = None
    if rows is not None and rows.shape[1] > 1:
        sums = (rows.sum(1) - 1).abs() < _CLOSE * rows.shape[1]
        simplex = float((sums & (rows >= 0).all(1)).double().mean())
        normalized = bool((rows.logsumexp(1).abs() < _CLOSE * rows.shape[1]).all())
    labels, most = _labels(call)
    at_zero = None
    weighted = any(call.options.get(name) is not None for name in ("weight", "pos_weight"))
    if call.kind.at_zero is not None and not weighted:
        at_zero = call.kind.at_zero(call.classes)
    return LossFacts(
        call.name, call.kind.task, call.kind.wants, call.reduction, call.mean(), call.classes,
        facts_of(given), None if call.target is None else facts_of(call.target),
        _compared(call), simplex, bool(((given >= 0) & (given <= 1)).all()), bool(normalized),
        found and found[0], found and found[1], labels, most, _spread(given),
        call.chain, call.written_out, at_zero, call.place, weighted,
    )  # fmt: skip


def _rows(given: Tensor, call: LossCall) -> Tensor | None:
    """(rows, classes) in float64."""
    if call.kind.task != CLASSES or given.dim() == 0:
        return None
    axis = 1 if given.dim() > 1 else 0
    return given.double().movedim(axis, -1).reshape(-1, given.shape[axis])


def _labels(call: LossCall) -> tuple[int, float]:
    target = call.target
    if target is None or call.kind.task != CLASSES or not target.numel():
        return 0, 0.0
    if target.is_floating_point():
        target = target.argmax(1 if target.dim() > 1 else 0)
    _, counts = torch.unique(target, return_counts=True)
    return len(counts), float(counts.max()) / target.numel()


def _compared(call: LossCall) -> tuple[int, ...]:
    if call.target is None:
        return tuple(call.input.shape)
    try:
        return np.broadcast_shapes(tuple(call.input.shape), tuple(call.target.shape))
    except ValueError:  # class numbers have one axis less
        return tuple(call.input.shape)


def _spread(given: Tensor) -> float:
    if given.dim() == 0 or len(given) < 2:
        return math.nan
    return float(given.double().std(0, correction=0).mean())


@dataclass(frozen=True)
class PassFacts(Answer):
    """One forward pass of one network.

    Attributes:
        model: name of the network.
        training: its mode.
        gradients: whether gradients were enabled.
        inputs: facts of its first tensor of numbers; None where it takes none.
        autocast: dtype of automatic mixed precision, "" without it.
        fingerprint: the same for the same input, and no other.
    """

    model: str
    training: bool
    gradients: bool
    inputs: TensorFacts | None
    autocast: str
    fingerprint: str


@dataclass(frozen=True)
class Backward(Answer):
    """One call of ``backward``.

    Attributes:
        total: the number that it was called on.
        data: the loss itself; None where it is not known.
        penalty: what was added to it, in the size of the loss; None where it cannot be told.
        scale: by what the loss was multiplied before ``backward``.
        place: the line.
    """

    total: float
    data: float | None
    penalty: float | None
    scale: float | None
    place: Place | None = None


@dataclass(frozen=True)
class Sample:
    """One step watched in full.

    Attributes:
        step: its number, from 1.
        passes: forward passes.
        losses: loss calls.
        backwards: calls of ``backward``.
        activations: by layer, in the order of the forward pass.
        parameters: of the networks; with gradients and updates.
        dead: by rectified layer (units off, units, inputs looked at).
        symmetric: layers with identical units; empty where they were not looked for.
        leftover: norm of the gradients that were there before the first ``backward``; None where
            there were none.
        after_backward: norm of all gradients when ``backward`` had ended.
        before_step: and just before the update: smaller where they were clipped.
        learning_rates: by optimizer, of its first group.
    """

    step: int
    passes: tuple[PassFacts, ...] = ()
    losses: tuple[LossFacts, ...] = ()
    backwards: tuple[Backward, ...] = ()
    activations: tuple[Activations, ...] = ()
    parameters: tuple[ParameterStep, ...] = ()
    dead: tuple[tuple[str, int, int, int], ...] = ()
    symmetric: tuple[SymmetricUnits, ...] = ()
    leftover: float | None = None
    after_backward: float | None = None
    before_step: float | None = None
    learning_rates: tuple[float, ...] = ()
