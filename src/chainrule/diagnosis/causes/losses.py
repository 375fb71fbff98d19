"""Losses: what the network is asked to make small."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from statistics import median

from chainrule.diagnosis import repair, repair_loss
from chainrule.diagnosis.case import CERTAIN, LOWEST, SYMPTOM, TRIED, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.losing import (
    ClassScores,
    DropOutputActivation,
    Normalize,
    SqueezeShapes,
    UndoSquashing,
    UseCrossEntropy,
)
from chainrule.diagnosis.replaying.changes.totals import DropPenalty, ScaleLoss
from chainrule.diagnosis.replaying.changes.updating import DropDecay
from chainrule.diagnosis.source import Edit, is_number

_SOFT = ("softmax", "Softmax", "sigmoid", "Sigmoid")
_BOUNDED = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "hardtanh": (-1.0, 1.0),
            "softmax": (0.0, 1.0), "hardsigmoid": (0.0, 1.0)}  # fmt: skip
_POSITIVE = ("relu", "relu6", "softplus")
_MODULES = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax",
            "relu6": "ReLU6", "softplus": "Softplus", "hardtanh": "Hardtanh"}  # fmt: skip


@cause("loss-expects-logits", "probabilities where the loss wants scores")
def expects_logits(case: Case) -> Iterator[Hypothesis]:
    found = case.found("loss-expects-logits")
    if found is None:
        return
    edits = repair.drop_call(case, _SOFT)
    yield Hypothesis(
        "loss-expects-logits", UndoSquashing(), CERTAIN, found.meaning, found.remedy,
        found.evidence, case.place(found.place), edits,
    )  # fmt: skip


@cause("output-activation-wrong", "an output that cannot say what is asked for")
def output_activation(case: Case) -> Iterator[Hypothesis]:
    found = case.found("output-activation-wrong")
    if found is not None:
        yield Hypothesis(
            "output-activation-wrong", Normalize(), CERTAIN, found.meaning, found.remedy,
            found.evidence, case.place(found.place), _log_softmax(case),
        )  # fmt: skip
    yield from _squashed_numbers(case)
    yield from _cut_scores(case)
    yield from _wrong_axis(case)


def _log_softmax(case: Case) -> tuple[Edit, ...]:
    """Its logarithm for a softmax that is there; else the loss that applies both itself."""
    last = _last_function(case)
    if last is not None and last[0] == "softmax":
        names = {"Softmax": "LogSoftmax", "softmax": "log_softmax"}
        return repair.rename_call(case, tuple(names), names.__getitem__, False)
    return repair.rename_call(
        case, ("nll_loss", "NLLLoss"),
        lambda name: "CrossEntropyLoss" if name == "NLLLoss" else "cross_entropy", False,
    )  # fmt: skip


def _last_function(case: Case) -> tuple[str, int] | None:
    """Name and index of the activation function that the loss is given; -1 behind the network."""
    loss = case.loss
    chain = [item for item in (loss.chain if loss else ()) if item in (*_BOUNDED, *_POSITIVE)]
    if chain:
        return chain[-1], -1
    last = next((item for item in reversed(case.happenings) if item.output), None)
    if last is not None and last.kind == "function":
        return last.name, last.index
    return None


def _activation_line(case: Case, name: str) -> Place | None:
    for source in case.sources():
        calls = source.calls(name, _MODULES.get(name, name))
        if calls:
            return Place(source.file, calls[-1].lineno)
    return None


def _squashed_numbers(case: Case) -> Iterator[Hypothesis]:
    """Targets of a regression outside of what the output can say."""
    last, loss = _last_function(case), case.loss
    if last is None or loss is None or loss.target is None or case.task != "numbers":
        return
    name, index = last
    low, high = _BOUNDED.get(name, (0.0, float("inf")))
    if name not in (*_BOUNDED, *_POSITIVE) or (
        loss.target.low >= low - 0.01 and loss.target.high <= high + 0.01
    ):
        return
    yield Hypothesis(
        "output-activation-wrong", DropOutputActivation(name, index), CERTAIN,
        f"{name} on the output says numbers in [{low:g}, {high:g}]; targets lie in "
        f"[{loss.target.low:.3g}, {loss.target.high:.3g}]",
        "no activation function on the output of a regression",
        {"low": loss.target.low, "high": loss.target.high}, _activation_line(case, name),
        repair.drop_call(case, (name, _MODULES.get(name, name))),
    )  # fmt: skip


def _cut_scores(case: Case) -> Iterator[Hypothesis]:
    """ReLU, tanh or sigmoid on scores."""
    last, loss = _last_function(case), case.loss
    if last is None or loss is None or case.task not in ("classes", "binary"):
        return
    name, index = last
    if name not in ("relu", "relu6", "tanh", "sigmoid", "hardtanh") or loss.wants != "logits":
        return
    if case.found("loss-expects-logits") and case.task == "binary":
        return
    yield Hypothesis(
        "output-activation-wrong", DropOutputActivation(name, index),
        CERTAIN if name.startswith("relu") else SYMPTOM,
        f"{name} on the scores: {loss.function} is given numbers in [{loss.input.low:.3g}, "
        f"{loss.input.high:.3g}]",
        "no activation function on scores", {"low": loss.input.low, "high": loss.input.high},
        _activation_line(case, name), repair.drop_call(case, (name, _MODULES.get(name, name))),
    )  # fmt: skip


def _wrong_axis(case: Case) -> Iterator[Hypothesis]:
    """A softmax over the examples of the minibatch, or over one single score."""
    for item in case.happenings:
        if item.name in ("softmax", "log_softmax") and item.axis == 0:
            yield Hypothesis(
                "output-activation-wrong", DropOutputActivation(item.name, item.index, 1), CERTAIN,
                f"{item.name} over axis 0 compares the examples of a minibatch with each other",
                "dim=1", {"axis": 0}, _activation_line(case, item.name),
                _axis_edit(case, item.name),
            )  # fmt: skip
            return
        if item.name == "softmax" and item.units == 1 and item.output:
            yield Hypothesis(
                "output-activation-wrong",
                DropOutputActivation("softmax", item.index, to="sigmoid"), CERTAIN,
                "softmax over one single score is always 1", "sigmoid in its place", {},
                _activation_line(case, "softmax"),
                (),
            )  # fmt: skip


def _axis_edit(case: Case, name: str) -> tuple[Edit, ...]:
    for source in case.sources():
        for node in source.calls(name, "Softmax", "LogSoftmax"):
            given = repair.argument(node, "dim")
            given = given or (node.args[-1] if node.args else None)
            if isinstance(given, ast.Constant) and given.value == 0:
                return (source.replace(given, "1"),)
    return ()


@cause("loss-unsuited", "a loss that asks for something else than the task")
def loss_unsuited(case: Case) -> Iterator[Hypothesis]:
    loss, classes = case.loss, case.scouted.classes
    if loss is None:
        return
    place = repair_loss.made(case) or loss.place
    if case.found("loss-unsuited"):
        values = classes if len(classes) > 1 else (0.0, 1.0)
        yield Hypothesis(
            "loss-unsuited", ClassScores(values), CERTAIN,
            f"{loss.function} over one single score is 0 whatever the network says",
            "binary_cross_entropy_with_logits, or a score for each class", {}, place,
            repair_loss.scores_of_classes(case, len(values)),
        )  # fmt: skip
    elif case.task == "whole numbers" and len(classes) > 2:
        yield Hypothesis(
            "loss-unsuited", ClassScores(classes), SYMPTOM,
            f"{loss.function} treats {len(classes)} classes as if they were amounts",
            "a score for each class, with cross_entropy", {"classes": len(classes)}, place,
            repair_loss.scores_of_classes(case, len(classes)) if classes[0] == 0 else (),
        )  # fmt: skip
    elif case.task == "shares" and loss.function != "cross_entropy":
        yield Hypothesis(
            "loss-unsuited", UseCrossEntropy(), TRIED,
            f"{loss.function} on one-hot classes", "cross_entropy", {}, place,
            repair_loss.cross_entropy(case),
        )  # fmt: skip


@cause("loss-sign-flipped", "each step makes the loss larger")
def sign_flipped(case: Case) -> Iterator[Hypothesis]:
    found = case.found("loss-sign-flipped")
    if found is not None:
        yield Hypothesis(
            "loss-sign-flipped", ScaleLoss(-1.0), CERTAIN, found.meaning, found.remedy,
            found.evidence, case.place(found.place), repair_loss.without_minus(case),
        )  # fmt: skip
        return
    losses = [item for item in case.baseline.readings if item.loss == item.loss]
    worse = len(losses) > 2 and losses[-1].skill < losses[0].skill - 0.05
    finite = [value for value in case.record.losses if math.isfinite(value)]  # until it overflows
    falling = len(finite) > 2 and len(case.record.losses) > 20 and (
        finite[-1] < finite[0] and finite[-1] < 0
    )  # fmt: skip
    bad = worse or (bool(losses) and losses[-1].skill < LOWEST)
    if worse or falling:
        yield Hypothesis(
            "loss-sign-flipped", ScaleLoss(-1.0), SYMPTOM if bad and falling else TRIED,
            "the number that is minimized falls while the task is done worse and worse",
            "minimize the loss itself", {}, _backward_line(case), repair_loss.without_minus(case),
        )  # fmt: skip


def _backward_line(case: Case) -> Place | None:
    return next(
        (item.place for sample in case.record.samples for item in sample.backwards if item.place),
        None,
    )


@cause("loss-not-averaged", "a loss that grows with the minibatch")
def not_averaged(case: Case) -> Iterator[Hypothesis]:
    loss = case.loss
    if loss is None or loss.reduction != "sum" or loss.target is None:
        return
    counted = loss.answers or (loss.input.shape[0] if loss.input.shape else 1)
    if loss.task == "numbers":
        counted = 1
        for extent in loss.input.shape:
            counted *= extent
    if counted < 2:
        return
    yield Hypothesis(
        "loss-not-averaged", ScaleLoss(1 / counted), SYMPTOM,
        f"{loss.function} is summed over {counted} numbers: its gradient is {counted} times that "
        "of the mean",
        "the mean (reduction='mean')", {"counted": counted}, loss.place, _mean(case, loss.place),
    )  # fmt: skip


def _mean(case: Case, place: Place | None) -> tuple[Edit, ...]:
    for source in case.sources():
        for node in source.calls():
            for item in node.keywords:
                value = item.value
                if (
                    item.arg == "reduction"
                    and isinstance(value, ast.Constant)
                    and value.value == "sum"
                ):
                    return (source.replace(value, '"mean"'),)
    for source in case.sources():
        if place is None or source.file != place.file:
            continue
        summed = source.call_at(place.line, "sum")
        if summed is not None and isinstance(summed.func, ast.Attribute):
            end = summed.func.end_col_offset or 0
            line = summed.func.end_lineno or 0
            return (Edit(source.file, line, end - 3, line, end, "mean"),)
    return ()


@cause("shapes-broadcast", "every output is compared with every target")
def broadcast(case: Case) -> Iterator[Hypothesis]:
    found = case.found("shapes-broadcast")
    if found is None:
        return
    loss = case.loss
    yield Hypothesis(
        "shapes-broadcast", SqueezeShapes(), CERTAIN, found.meaning, found.remedy, found.evidence,
        case.place(found.place), _same_shape(case, loss.place if loss else None),
    )  # fmt: skip


def _same_shape(case: Case, place: Place | None) -> tuple[Edit, ...]:
    """The target of the loss call in the shape of what it is compared with."""
    source = case.source(place)
    if source is None or place is None:
        return ()
    for node in source.calls():
        inside = node.lineno <= place.line <= (node.end_lineno or 0)
        if inside and len(node.args) >= 2 and not isinstance(node.args[1], ast.Constant):
            first, second = source.text_of(node.args[0]), source.text_of(node.args[1])
            if isinstance(node.args[0], ast.Call):
                return (source.replace(node.args[1], f"{_atom(second)}.unsqueeze(1)"),)
            return (source.replace(node.args[1], f"{_atom(second)}.view_as({first})"),)
    statement = source.statement_at(place.line)
    for item in ast.walk(statement) if statement is not None else ():
        if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Sub):
            first, second = source.text_of(item.left), source.text_of(item.right)
            return (source.replace(item.right, f"{_atom(second)}.reshape({first}.shape)"),)
    return ()


def _atom(text: str) -> str:
    return text if text.replace(".", "").replace("_", "").isalnum() else f"({text})"


@cause(
    "regularization-too-strong", "weights are pulled to zero harder than the data pull them away"
)
def too_strong(case: Case) -> Iterator[Hypothesis]:
    optimizer = case.optimizer
    decay = 0.0
    if optimizer is not None:
        decay = max((float(g.get("weight_decay") or 0) for g in optimizer.groups), default=0.0)
    if decay > 0 and optimizer is not None:
        strong = bool(case.found("regularization-too-strong")) or decay >= 0.02
        yield Hypothesis(
            "regularization-too-strong", DropDecay(), SYMPTOM if strong else TRIED,
            f"a weight decay of {decay:g}", "a weight decay of 1e-4, or none",
            {"weight_decay": decay}, optimizer.made,
            repair.set_argument(
                optimizer.made, "weight_decay", lambda _: 1e-4, None, decay, optimizer.name
            ),
        )  # fmt: skip
    shares = [
        item.penalty / (abs(item.data) + abs(item.penalty))
        for sample in case.record.samples for item in sample.backwards
        if item.penalty and item.data is not None
    ]  # fmt: skip
    if not shares:
        return
    share = median(shares)
    place = _penalty_line(case)
    yield Hypothesis(
        "regularization-too-strong", DropPenalty(), SYMPTOM if share > 0.2 else TRIED,
        f"the penalty is {share:.0%} of the full loss".replace("%", " %"), "a smaller penalty",
        {"share": share}, place, _smaller_penalty(case),
    )  # fmt: skip


def _penalty_number(case: Case) -> tuple[ast.expr, str] | None:
    """The number that a sum over parameters is multiplied by."""
    words = ("norm", "pow", "abs", "l1", "l2", "reg", "penalty", "sum", "decay", "square")
    for source in case.sources():
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
                continue
            for side, other in ((node.left, node.right), (node.right, node.left)):
                literal = source.literal(side)
                text = source.text_of(other).lower()
                if literal is None or is_number(other):
                    continue
                if any(word in text for word in words):
                    return literal, source.file
    return None


def _penalty_line(case: Case) -> Place | None:
    found = _penalty_number(case)
    return None if found is None else Place(found[1], found[0].lineno)


def _smaller_penalty(case: Case) -> tuple[Edit, ...]:
    found = _penalty_number(case)
    if found is None:
        return ()
    node = found[0]
    return (Edit(found[1], node.lineno, node.col_offset, node.end_lineno or node.lineno,
                 node.end_col_offset or 0, "1e-05"),)  # fmt: skip
