"""Signal: what comes through the layers, forward and back."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterator

from chainrule.diagnosis import repair
from chainrule.diagnosis.case import SYMPTOM, TRIED, Case, Hypothesis
from chainrule.diagnosis.causes.initialization import LARGE, largest_scale
from chainrule.diagnosis.causes.optimization import update_ratios
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.rebuilding import (
    InsertNonlinearity,
    NormalizeSignals,
    Reinitialize,
    ReplaceActivation,
    Widen,
)
from chainrule.diagnosis.replaying.changes.updating import ClipGradients
from chainrule.diagnosis.source import Edit, called

_RECTIFIED = ("relu", "relu6")
_SQUASHED = ("sigmoid", "tanh", "hardtanh", "softsign", "hardsigmoid")
_FAITHFUL = ("Linear", "Conv1d", "Conv2d", "Conv3d")


def _output(case: Case) -> int:
    found = case.output_activation()
    return found.among if found is not None else -1


def _line(case: Case, *names: str) -> Place | None:
    for source in case.sources():
        found: list[ast.Call] | list[ast.expr] = source.calls(*names) or source.references(*names)
        if found:
            return Place(source.file, found[0].lineno)
    return None


def _dead(case: Case, last: bool) -> tuple[float, str]:
    """Largest share of units that are off for all inputs, at the start or at the end."""
    if not case.record.samples:
        return 0.0, ""
    sample = case.record.samples[-1 if last else 0]
    found = [(dead / units, name) for name, dead, units, inputs in sample.dead
             if units and inputs >= 32]  # fmt: skip
    return max(found, default=(0.0, ""))


@cause("dead-relu", "rectified units that are off for every input")
def dead(case: Case) -> Iterator[Hypothesis]:
    if not any(item.name in _RECTIFIED for item in case.activations):
        return
    began, layer = _dead(case, last=False)
    share, late = _dead(case, last=True)
    found = case.found("dead-relu")
    if max(began, share) < 0.4 and found is None:
        return
    name = layer if began >= share else late
    words = (
        f"{max(began, share):.0%} of the units of layer {name} are off for every input looked at "
        f"({began:.0%} before the first step)".replace("%", " %")
    )
    evidence = {"dead": share, "at_start": began}
    if began >= 0.4:  # they never lived: what they began with is to blame
        offsets = _no_offset(case)
        yield Hypothesis(
            "dead-relu", Reinitialize("default"), SYMPTOM, words, "biases at 0, smaller weights",
            evidence, _line(case, "ReLU", "relu", "ReLU6"), offsets,
        )  # fmt: skip
    yield Hypothesis(
        "dead-relu", ReplaceActivation(_output(case), "leaky_relu"), SYMPTOM, words,
        "a leaky ReLU, biases at 0, a smaller learning rate", evidence,
        _line(case, "ReLU", "relu", "ReLU6"), repair.leaky(case),
    )  # fmt: skip


@cause("saturated-activations", "units where the function is flat")
def saturated(case: Case) -> Iterator[Hypothesis]:
    if not any(item.name in _SQUASHED for item in case.activations) or not case.record.samples:
        return
    shares = [
        (item.saturated, item.name)
        for sample in (case.record.samples[0], case.record.samples[-1])
        for item in sample.activations if item.saturated is not None
    ]  # fmt: skip
    share, name = max(shares, default=(0.0, ""))
    if share < 0.5:
        return
    yield Hypothesis(
        "saturated-activations", NormalizeSignals(_output(case)), SYMPTOM,
        f"{share:.0%} of the activations of layer {name} lie where the slope is below 5 % of its "
        "maximum".replace("%", " %").replace("  %", " %"),
        "smaller weights, inputs of unit variance, or normalization before the activation",
        {"saturated": share}, _line(case, "Sigmoid", "Tanh", "sigmoid", "tanh"), _no_offset(case),
    )  # fmt: skip
    yield Hypothesis(
        "saturated-activations", ReplaceActivation(_output(case), "relu"), TRIED,
        f"{share:.0%} of the activations of layer {name} are saturated".replace("%", " %"),
        "ReLU", {"saturated": share}, _line(case, "Sigmoid", "Tanh", "sigmoid", "tanh"),
    )  # fmt: skip
    if largest_scale(case) > LARGE:  # two names of one fault: the weights drive them there
        yield Hypothesis(
            "saturated-activations", Reinitialize(), SYMPTOM,
            f"large weights saturate {100 * share:.0f} % of the activations of layer {name}",
            "smaller weights", {"saturated": share},
            _line(case, "Sigmoid", "Tanh", "sigmoid", "tanh"),
        )  # fmt: skip


def _no_offset(case: Case) -> tuple[Edit, ...]:
    """Biases, and whatever else is filled with a large number, filled with 0 instead."""
    for source in case.sources():
        for node in source.calls("constant_", "fill_"):
            if not node.args:
                continue
            literal = source.literal(node.args[-1])
            if literal is None and "bias" in source.text_of(node):
                return (source.replace(node.args[-1], "0.0"),)
            if literal is not None and abs(float(source.text_of(literal))) >= 2:
                return (source.replace(literal, "0.0"),)
    return ()


def gradient_fall(case: Case) -> float:
    """Gradient per weight norm of the first layers against the last, in the first step."""
    if not case.record.samples:
        return math.nan
    known = [
        item.gradient_norm / item.weight_norm for item in case.record.samples[0].parameters
        if item.gradient_norm is not None and item.weight_norm and item.name.endswith("weight")
    ]  # fmt: skip
    if len(known) < 3 or not known[-1]:
        return math.nan
    return known[0] / known[-1]


@cause("vanishing-gradients", "hardly a gradient reaches the first layers")
def vanishing(case: Case) -> Iterator[Hypothesis]:
    squashed = [item for item in case.activations if item.name in _SQUASHED and not item.output]
    fall = gradient_fall(case)
    if len(squashed) < 3:
        return
    weight = SYMPTOM if fall < 0.02 or len(squashed) >= 6 else TRIED
    words = (
        f"{len(squashed)} {squashed[0].name} layers: relative to the weights the gradient of the "
        f"first layer is {fall:.2g} times that of the last"
    )
    for change in (
        ReplaceActivation(_output(case), "relu"), NormalizeSignals(_output(case)),
    ):  # fmt: skip
        yield Hypothesis(
            "vanishing-gradients", change, weight, words,
            "ReLU with a variance of 2 / fan-in, normalization, or fewer layers",
            {"gradient_first_to_last": fall, "layers": len(squashed)},
            _line(case, "Sigmoid", "Tanh", "sigmoid", "tanh"),
            _unsquashed(case),
        )  # fmt: skip


def _unsquashed(case: Case) -> tuple[Edit, ...]:
    """ReLU in place of every sigmoid and tanh; not where one of them is the output."""
    to_relu = {"Sigmoid": "ReLU", "Tanh": "ReLU", "sigmoid": "relu", "tanh": "relu"}
    if case.output_activation() is not None:
        return ()
    return repair.rename_call(case, tuple(to_relu), lambda old: to_relu[old], True)


@cause("exploding-gradients", "gradients that grow from layer to layer or from step to step")
def exploding(case: Case) -> Iterator[Hypothesis]:
    norms = [
        sample.after_backward for sample in case.record.samples
        if sample.after_backward is not None
    ]  # fmt: skip
    finite = [value for value in norms if math.isfinite(value)]
    if not norms:
        return
    highest = max(finite, default=math.inf)
    recurrent = any(item.kind in ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
                    for item in case.traits) or _loops(case)  # fmt: skip
    broke = case.record.origin is not None or any(not math.isfinite(value) for value in norms)
    if (highest < 10 and not broke) or (case.optimizer and case.optimizer.scaler):
        return
    place = case.optimizer.stepped if case.optimizer else None
    # updates that overwrite the weights make gradients of any size: then they are the consequence
    moved = max(update_ratios(case)[:5], default=0.0) > 0.1
    speaks = (recurrent and (highest > 10 or broke)) or highest > 1000
    weight = SYMPTOM if speaks and not moved else TRIED
    for norm in (1.0, 0.1):
        yield Hypothesis(
            "exploding-gradients", ClipGradients(norm), weight,
            f"the gradient has a norm of up to {highest:.3g}"
            + (", later it is not finite" if broke else ""),
            "clip the gradient's norm at 1", {"gradient_norm": highest}, place,
            _clip(case, place),
        )  # fmt: skip


def _loops(case: Case) -> bool:
    """Whether one layer runs several times in a forward pass."""
    names = [item.name for item in case.happenings if item.kind == "layer"]
    return len(names) > 2 * max(len(set(names)), 1)


def _clip(case: Case, place: Place | None) -> tuple[Edit, ...]:
    source = case.source(place) if place is not None else None
    model = next(iter(case.record.models), None)
    statement = None if source is None or place is None else source.statement_at(place.line)
    if source is None or statement is None or model is None:
        return ()
    return (
        source.before(statement, f"torch.nn.utils.clip_grad_norm_({model.name}.parameters(), 1.0)"),
    )


@cause("missing-nonlinearity", "layers in a row that are together one linear layer")
def missing(case: Case) -> Iterator[Hypothesis]:
    pairs = []
    known = [item for item in case.happenings if item.kind != "norm"]
    for before, after in itertools.pairwise(known):
        layers = before.kind == after.kind == "layer" and before.operation == after.operation
        if layers and before.operation in _FAITHFUL and before.name != after.name:
            pairs.append(before.name)
    if not pairs:
        return
    only = not any(item.among >= 0 for item in known if not item.output)
    yield Hypothesis(
        "missing-nonlinearity", InsertNonlinearity(tuple(pairs)), SYMPTOM if only else TRIED,
        f"there is no activation function behind {', '.join(pairs[:3])}",
        "a ReLU between the layers", {"layers": len(pairs)}, _line(case, "Linear", "Conv2d"),
        _insert_relu(case, pairs),
    )  # fmt: skip


def _insert_relu(case: Case, layers: list[str]) -> tuple[Edit, ...]:
    """A ReLU behind the layers: where ``forward`` calls them, or in their ``Sequential``."""
    names = [name.rsplit(".")[-1] for name in layers]
    for source in case.sources():
        calls = [
            node for node in source.calls(*names)
            if isinstance(node.func, ast.Attribute) and source.text_of(node.func.value) == "self"
        ]  # fmt: skip
        if calls:
            return tuple(source.behind(node, ".relu()") for node in calls)
        for node in source.calls("Sequential"):
            plain = [item for item in node.args[:-1]
                     if isinstance(item, ast.Call) and called(item) in _FAITHFUL]  # fmt: skip
            if plain:
                return tuple(source.behind(item, ", torch.nn.ReLU()") for item in plain)
    return ()


@cause("capacity-too-small", "too few units for the task")
def capacity(case: Case) -> Iterator[Hypothesis]:
    hidden = [item.units for item in case.happenings if item.kind == "layer" and not item.output]
    linear = [item for item in case.happenings if item.operation == "Linear"]
    if not hidden or len(linear) < 2:
        return
    narrow = min(item.units for item in linear[:-1])
    outputs = linear[-1].units
    few = narrow <= 3 or (case.task == "classes" and 3 * narrow < outputs)
    yield Hypothesis(
        "capacity-too-small", Widen(4, 64), SYMPTOM if few else TRIED,
        f"the narrowest hidden layer has {narrow} units", "wider hidden layers",
        {"units": narrow}, _narrow_line(case, narrow), _wider(case, narrow), later=not few,
    )  # fmt: skip


def _narrow_line(case: Case, narrow: int) -> Place | None:
    edits = _wider(case, narrow)
    if edits:
        return Place(edits[0].file, edits[0].line)
    return _line(case, "Linear")


def _wider(case: Case, narrow: int) -> tuple[Edit, ...]:
    for source in case.sources():
        found = []
        for node in source.calls("Linear"):
            for item in node.args[:2]:
                literal = source.literal(item)
                if literal is not None and source.text_of(literal) == str(narrow):
                    found.append(source.replace(literal, str(max(64, 4 * narrow))))
        if found:
            return tuple(dict.fromkeys(found))
    return ()
