"""Data: what the network is given and what it is asked for."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

from chainrule.diagnosis import repair, repair_batches, repair_order
from chainrule.diagnosis.case import CERTAIN, SYMPTOM, TRIED, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.feeding import (
    CleanData,
    LayOut,
    MatchStatistics,
    StandardizeInputs,
    StandardizeTargets,
)
from chainrule.diagnosis.replaying.changes.losing import Balance, Recode
from chainrule.diagnosis.replaying.changes.ordering import (
    GoOn,
    OneOrder,
    Resupply,
    RollDataset,
    RollLabels,
)
from chainrule.diagnosis.source import Edit, Source, called, read_source


def _call_line(case: Case) -> Place | None:
    model = next(iter(case.record.models), None)
    return model.called if model else None


@cause("inputs-not-normalized", "inputs far from zero mean and unit variance")
def inputs(case: Case) -> Iterator[Hypothesis]:
    facts = case.inputs
    if facts is None or facts.dtype.startswith(("int", "uint", "bool")):
        return
    rms = math.hypot(facts.mean, facts.std)
    spread = facts.feature_spread or 1.0
    far = bool(case.found("inputs-not-normalized")) or rms > 4 or spread > 30 or rms < 0.02
    yield Hypothesis(
        "inputs-not-normalized", StandardizeInputs(), SYMPTOM if far else TRIED,
        f"inputs have a mean of {facts.mean:.3g} and a standard deviation of {facts.std:.3g}"
        + (f"; scales of features differ by a factor of {spread:,.0f}" if spread > 10 else ""),
        "subtract the mean of the training set and divide by its standard deviation",
        {"mean": facts.mean, "std": facts.std, "feature_spread": spread}, _input_line(case),
        _standardized(case),
    )  # fmt: skip


def _input_line(case: Case) -> Place | None:
    """The line that makes the inputs a tensor, else the one that calls the network."""
    found = _tensor_call(case)
    return Place(found[0].file, found[1].lineno) if found else _call_line(case)


_INPUTS = ("x", "data", "inputs", "features", "images", "self.x", "xs")
_MAKERS = ("tensor", "from_numpy", "as_tensor", "FloatTensor", "Tensor")


def _tensor_call(case: Case) -> tuple[Source, ast.Call] | None:
    """The call that makes the inputs a tensor, by the names of what it makes or is given."""
    return _made_of(case, _INPUTS)


def _made_of(case: Case, words: tuple[str, ...]) -> tuple[Source, ast.Call] | None:
    """The first call that makes a tensor of what has such a name, before or after it."""
    for source in case.sources():
        for node in source.calls(*_MAKERS):
            statement = source.statement(node)
            named = ""
            if isinstance(statement, ast.Assign):
                named = source.text_of(statement.targets[0]).lower()
            given = source.text_of(node.args[0]).lower() if node.args else ""
            anyway = words is _TARGETS or not named  # ``y = tensor(data.target)`` makes no inputs
            if named.startswith(words) or (anyway and given.startswith(words)):
                return source, node
    return None


def _after_made(found: tuple[Source, ast.Call] | None, text: str) -> tuple[Edit, ...]:
    """A line behind the one that makes a tensor; ``{}`` in it is the tensor's name."""
    if found is None:
        return ()
    source, node = found
    statement = source.statement(node)
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return ()
    name = statement.targets[0].id
    return (source.after(statement, f"{name} = {text.replace('{}', name)}"),)


def _standardized(case: Case) -> tuple[Edit, ...]:
    """Standardize where the script makes its inputs a tensor."""
    return _after_made(_tensor_call(case), "({} - {}.mean(0)) / ({}.std(0) + 1e-6)")


@cause("targets-not-scaled", "targets far from what an untrained network says")
def targets(case: Case) -> Iterator[Hypothesis]:
    loss = case.loss
    if loss is None or loss.target is None or case.task != "numbers":
        return
    mean, std = loss.target.mean, loss.target.std
    size = math.hypot(mean, std)
    if not math.isfinite(size) or std <= 0:
        return
    far = bool(case.found("targets-not-scaled")) or size > 5 or size < 0.05
    yield Hypothesis(
        "targets-not-scaled",
        StandardizeTargets(mean, std, 1 if loss.function == "l1_loss" else 2),
        SYMPTOM if far else TRIED,
        f"targets have a mean of {mean:.3g} and a standard deviation of {std:.3g}",
        "standardize the targets, and undo it on the predictions", {"mean": mean, "std": std},
        _target_line(case) or loss.place,
        _after_made(_target_call(case), "({} - {}.mean()) / {}.std()"),
    )  # fmt: skip


_TARGETS = ("y", "target", "labels", "self.y")


def _target_call(case: Case) -> tuple[Source, ast.Call] | None:
    """The call that makes the targets a tensor."""
    return _made_of(case, _TARGETS)


def _target_line(case: Case) -> Place | None:
    found = _target_call(case)
    return Place(found[0].file, found[1].lineno) if found else None


@cause("non-finite-data", "NaN or infinite values in the data")
def not_finite(case: Case) -> Iterator[Hypothesis]:
    found = case.found("non-finite-data")
    if found is None:
        return
    yield Hypothesis(
        "non-finite-data", CleanData(), CERTAIN, found.meaning, found.remedy, found.evidence,
        _input_line(case),
        _after_made(_tensor_call(case), "torch.nan_to_num({})"),
    )  # fmt: skip


@cause("labels-misaligned", "inputs and labels that do not belong together")
def misaligned(case: Case) -> Iterator[Hypothesis]:
    found = case.found("inputs-do-not-predict-targets")
    shuffles = repair_order.shuffles(case)
    if case.task in ("numbers",) and found is None and case.skill() > 0.2:
        return
    meaning = found.meaning if found else "inputs and labels may have been shuffled apart"
    weight = SYMPTOM if found else TRIED
    evidence = dict(found.evidence) if found else {}
    remedy = "shuffle inputs and labels with one and the same permutation"
    # where examples influence each other another order is another task
    if shuffles is not None and not case.record.start.mixes:
        for change in (OneOrder(), OneOrder(none=True)):
            yield Hypothesis(
                "labels-misaligned", change, weight, meaning, remedy, evidence, shuffles,
                repair_order.one_order(case), later=found is None,
            )  # fmt: skip
    if found is None:
        return
    rolls = [RollLabels(1), RollLabels(-1)] if case.loader and not case.loader.shuffle else []
    sets = [RollDataset(1), RollDataset(-1)] if case.loader else []
    for roll in (*rolls, *sets):
        yield Hypothesis(
            "labels-misaligned", roll, weight, meaning, "pair each input with its own label",
            evidence, shuffles or _target_line(case) or (case.loader.made if case.loader else None),
            later=True,
        )  # fmt: skip


@cause("labels-wrongly-encoded", "labels that mean something else to the loss")
def encoded(case: Case) -> Iterator[Hypothesis]:
    loss, values = case.loss, case.scouted.classes
    if loss is None or not values:
        return
    wanted = tuple(float(index) for index in range(len(values)))
    binary = loss.function.startswith("binary")
    if binary and values != wanted and (min(values) < 0 or max(values) > 1):
        found = case.found("labels-wrongly-encoded")
        yield Hypothesis(
            "labels-wrongly-encoded", Recode(values), CERTAIN,
            found.meaning if found else f"{loss.function} expects 0 and 1; labels are "
            f"{', '.join(f'{value:g}' for value in values[:4])}",
            "encode the classes as 0 and 1", {"low": values[0], "high": values[-1]},
            _target_line(case) or loss.place,
        )  # fmt: skip


@cause("classes-imbalanced", "one class so frequent that the others are never said")
def imbalanced(case: Case) -> Iterator[Hypothesis]:
    shares = case.scouted.shares
    if len(shares) < 2 or max(shares) < 0.8:
        return
    loss = case.loss
    if loss is None or case.scouted.classes != tuple(float(i) for i in range(len(shares))):
        return
    yield Hypothesis(
        "classes-imbalanced", Balance(shares), SYMPTOM,
        f"{max(shares):.0%} of the examples are of one class".replace("%", " %"),
        "weight the classes by the inverse of their frequency, or draw them equally often",
        {"largest_share": max(shares)}, loss.place, _weighted(case, shares),
    )  # fmt: skip


def _weighted(case: Case, shares: tuple[float, ...]) -> tuple[Edit, ...]:
    """Weights given to the loss where it is made, or where it is called."""
    weights = [round(1 / (len(shares) * max(share, 1e-6)), 3) for share in shares]
    options = {
        "CrossEntropyLoss": f"weight=torch.tensor({weights})",
        "cross_entropy": f"weight=torch.tensor({weights})",
    }
    if len(shares) == 2:
        ratio = f"pos_weight=torch.tensor({round(weights[1] / weights[0], 3)})"
        options |= {"BCEWithLogitsLoss": ratio, "binary_cross_entropy_with_logits": ratio}
    for source in case.sources():
        for node in source.calls(*options):
            if any(item.arg in ("weight", "pos_weight") for item in node.keywords):
                return ()
            text, option = source.text_of(node)[:-1].rstrip(), options[called(node)]
            comma = "" if text.endswith(("(", ",")) else ", "
            return (source.replace(node, f"{text}{comma}{option})"),)
    return ()


@cause("data-not-shuffled", "minibatches that hold few of the classes each")
def not_shuffled(case: Case) -> Iterator[Hypothesis]:
    found = case.found("data-not-shuffled")
    loader = case.loader
    if (found is None and (loader is None or loader.shuffle)) or case.scouted.supply:
        return
    place = case.place(found.place) if found else None
    place = place or (loader.made if loader else None)
    yield Hypothesis(
        "data-not-shuffled", Resupply(), SYMPTOM if found else TRIED,
        found.meaning if found else "the data come in the same order in every epoch",
        "shuffle the data (shuffle=True)", dict(found.evidence) if found else {}, place,
        repair.without_keyword(place, "shuffle", "True") or _shuffle(place),
    )  # fmt: skip


def _shuffle(place: Place | None) -> tuple[Edit, ...]:
    source = None if place is None else read_source(place.file)
    node = None if source is None or place is None else source.call_at(place.line, "DataLoader")
    if source is None or node is None:
        return ()
    text = source.text_of(node)
    return (source.replace(node, f"{text[:-1].rstrip().rstrip(',')}, shuffle=True)"),)


@cause("same-batch-repeated", "the same minibatch in every step")
def same_batch(case: Case) -> Iterator[Hypothesis]:
    found, supply = case.found("same-batch-repeated"), case.scouted.supply
    place = repair_batches.next_line(case) or (
        case.place(found.place) if found else _training_call(case)
    )
    meaning = found.meaning if found else (
        f"the network gets the same {case.scouted.examples} examples in every step looked at, of "
        f"{supply:,} that there are"
    )  # fmt: skip
    remedy = found.remedy if found else "give it other examples in each step"
    evidence = found.evidence if found else {"examples": case.scouted.examples, "of": supply}
    changes = ([GoOn()] if found else []) + ([Resupply()] if supply else [])
    for change in changes:
        yield Hypothesis(
            "same-batch-repeated", change, CERTAIN, meaning, remedy, evidence, place,
            repair_batches.endless(case) or repair_batches.next_in_loop(case),
        )  # fmt: skip


def _training_call(case: Case) -> Place | None:
    return next((item.called for item in case.record.models if item.called), None)


@cause("train-test-mismatch", "evaluated on data that are not made like those of training")
def mismatch(case: Case) -> Iterator[Hypothesis]:
    layout, far, near = case.scouted.held_layout
    if layout:
        yield Hypothesis(
            "train-test-mismatch", LayOut(layout), SYMPTOM,
            f"the inputs that it is evaluated on are like those of training only {layout}: means "
            f"of features are {far:.2g} standard deviations apart, {near:.2g} when laid so",
            "lay the features out in the same way in both", {"apart": far, "laid": near},
            _layout_line(case), held=True,
        )  # fmt: skip
    apart = case.scouted.held_scale
    if not case.scouted.held or math.isnan(apart) or apart < 0.3:
        return
    yield Hypothesis(
        "train-test-mismatch", MatchStatistics(), SYMPTOM,
        f"the inputs that it is evaluated on differ from those of training by {apart:.2g} (mean in "
        "standard deviations, or logarithm of the spread)",
        "prepare both in the same way, with the statistics of the training set",
        {"apart": apart}, _evaluation_line(case), held=True,
    )  # fmt: skip


def _layout_line(case: Case) -> Place | None:
    """The line that lays out what is evaluated on, or what is trained on."""
    words = (".transpose(", ".permute(", ".T", "swapaxes", "flip", "[::-1]", "columns")
    found = [
        Place(source.file, number)
        for source in case.sources()
        for number, line in enumerate(source.text.splitlines(), 1)
        if any(word in line for word in words) and not line.lstrip().startswith("#")
    ]
    return found[0] if found else _evaluation_line(case)


def _evaluation_line(case: Case) -> Place | None:
    """The second line that makes inputs a tensor: where the data of the evaluation are made."""
    for source in case.sources():
        for number, line in enumerate(source.text.splitlines(), 1):
            words = line.split("=")[0].lower()
            if "=" in line and any(w in words for w in ("test", "val", "held")) and (
                "mean" in line or "std" in line or "tensor" in line or "/" in line
                or "scal" in line or "transform" in line
            ):  # fmt: skip
                return Place(source.file, number)
    return _call_line(case)
