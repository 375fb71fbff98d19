"""Regularization: noise, modes and normalization."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from chainrule.diagnosis import repair
from chainrule.diagnosis.case import CERTAIN, SYMPTOM, TRIED, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.feeding import AddNoise
from chainrule.diagnosis.replaying.changes.noise import NoNoise
from chainrule.diagnosis.replaying.changes.ordering import Resupply
from chainrule.diagnosis.replaying.changes.rebuilding import (
    AddDropout,
    SetDropout,
    SoundNorm,
    SwitchMode,
)
from chainrule.diagnosis.replaying.changes.updating import AddDecay, StopEarly
from chainrule.diagnosis.source import Edit, Source, called, read_source
from chainrule.finding import Finding

_DRAWS = ("randn_like", "rand_like", "randn", "rand", "bernoulli", "normal", "normal_", "uniform_",
          "standard_normal", "bernoulli_")  # fmt: skip


@cause("dropout-too-strong", "so much is left out that little can be learned")
def dropout(case: Case) -> Iterator[Hypothesis]:
    rates = [item.rate for item in case.traits if item.rate == item.rate]
    functional = any(source.calls("dropout") for source in case.sources())
    written = _dropout_rate(case) if functional else 0.0
    rate = max([*rates, written])
    if rate <= 0 and not functional:
        return
    yield Hypothesis(
        "dropout-too-strong", SetDropout(0.0), SYMPTOM if rate >= 0.65 else TRIED,
        f"dropout leaves out {rate:.0%} of the activations".replace("%", " %"),
        "a dropout rate of 0.5 or less", {"rate": rate},
        _dropout_line(case), _dropout_edit(case),
    )  # fmt: skip


def _dropout_node(case: Case) -> tuple[Source, ast.expr] | None:
    for source in case.sources():
        for node in source.calls("Dropout", "dropout", "Dropout2d", "AlphaDropout", "Dropout1d"):
            given = repair.argument(node, "p", 1 if source.text_of(node.func).islower() else 0)
            literal = source.literal(given)
            if literal is not None:
                return source, literal
    return None


def _dropout_rate(case: Case) -> float:
    """As it is written down in the file."""
    found = _dropout_node(case)
    try:
        return float(ast.literal_eval(found[0].text_of(found[1]))) if found else 0.0
    except ValueError:
        return 0.0


def _dropout_line(case: Case) -> Place | None:
    found = _dropout_node(case)
    return Place(found[0].file, found[1].lineno) if found else None


def _dropout_edit(case: Case) -> tuple[Edit, ...]:
    found = _dropout_node(case)
    return (found[0].replace(found[1], "0.2"),) if found else ()


@cause("batchnorm-misused", "normalization by statistics that say nothing")
def batchnorm(case: Case) -> Iterator[Hypothesis]:
    norms = [item for item in case.traits if item.momentum == item.momentum]
    norms = [item for item in norms if item.kind.startswith("BatchNorm")]
    size = case.scouted.examples
    kinds = [item for item in case.traits if item.kind.startswith(("BatchNorm", "SyncBatchNorm"))]
    if not kinds:
        return
    odd = [item.momentum for item in norms if not 0.005 <= item.momentum <= 0.5]
    place = _norm_line(case)
    if odd:
        yield Hypothesis(
            "batchnorm-misused", SoundNorm(), SYMPTOM,
            f"batch normalization with a momentum of {odd[0]:g}: its running statistics are "
            + ("those of the last minibatch" if odd[0] > 0.5 else "still those of the start"),
            "a momentum of 0.1", {"momentum": odd[0]}, place, _momentum_edit(case),
        )  # fmt: skip
    if 0 < size <= 4:
        yield Hypothesis(
            "batchnorm-misused", SoundNorm(by_example=True), SYMPTOM,
            f"batch normalization over minibatches of {size} examples",
            "larger minibatches, or LayerNorm / GroupNorm", {"examples": size}, place,
        )  # fmt: skip
        yield Hypothesis(
            "batchnorm-misused", Resupply(32), SYMPTOM,
            f"batch normalization over minibatches of {size} examples", "larger minibatches",
            {"examples": size}, place,
        )  # fmt: skip


def _norm_line(case: Case) -> Place | None:
    for source in case.sources():
        calls = source.calls("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
        if calls:
            return Place(source.file, calls[0].lineno)
    return None


def _momentum_edit(case: Case) -> tuple[Edit, ...]:
    found: dict[Edit, None] = {}
    for source in case.sources():
        for node in source.calls("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"):
            literal = source.literal(repair.argument(node, "momentum", 2))
            if literal is not None:
                found[source.replace(literal, "0.1")] = None
    return tuple(found)


@cause("wrong-mode", "training in evaluation mode, or evaluation in training mode")
def wrong_mode(case: Case) -> Iterator[Hypothesis]:
    always = next((item for item in case.happenings if item.kind == "dropout"), None)
    if always is not None:
        yield Hypothesis(
            "wrong-mode", SwitchMode(), CERTAIN,
            f"{always.name} is at work in evaluation mode, too: as a function it knows of no mode",
            "dropout(x, p, training=self.training), or nn.Dropout", {"rate": _dropout_rate(case)},
            Place(always.file, always.line) if always.line else None, _mode_of_dropout(case),
        )  # fmt: skip
        return
    found = case.found("wrong-mode")
    if found is None:
        return
    yield Hypothesis(
        "wrong-mode", SwitchMode(), CERTAIN, found.meaning, found.remedy, found.evidence,
        _mode_line(case, found.meaning) or case.place(found.place), _mode_edit(case, found),
        held="is evaluated in training mode" in found.meaning,
    )  # fmt: skip


def _mode_of_dropout(case: Case) -> tuple[Edit, ...]:
    """``training=self.training`` given to every dropout that is called as a function."""
    found = []
    for source in case.sources():
        for node in source.calls("dropout", "alpha_dropout", "dropout1d", "dropout2d"):
            if len(node.args) < 3 and repair.argument(node, "training") is None:
                text = source.text_of(node)
                found.append(source.replace(node, f"{text[:-1].rstrip()}, training=self.training)"))
    return tuple(found)


def _mode_line(case: Case, meaning: str) -> Place | None:
    if "training mode" in meaning.split(":")[0] and "is evaluated" in meaning:
        return None
    for source in case.sources():
        calls = [*source.calls("eval")]
        for node in source.calls("train"):
            if node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value is False:
                calls.append(node)
        if calls:
            return Place(source.file, calls[0].lineno)
    return None


def _mode_edit(case: Case, found: Finding) -> tuple[Edit, ...]:
    """``train()`` before the training pass, or ``eval()`` before the one that evaluates."""
    model = next(iter(case.record.models), None)
    if model is None or not model.name.isidentifier() or model.called is None:
        return ()
    evaluated = "is evaluated in training mode" in found.meaning
    place = case.place(found.place) if evaluated else model.called
    source = None if place is None else read_source(place.file)
    statement = None if source is None or place is None else source.statement_at(place.line)
    if source is None or statement is None:
        return ()
    mode = "eval" if evaluated else "train"
    if evaluated:
        statement = _whole_evaluation(source, statement)
    return (source.before(statement, f"{model.name}.{mode}()"),)


def _whole_evaluation(source: Source, statement: ast.stmt) -> ast.stmt:
    """The outermost block around a statement in which nothing is trained."""
    outer = source.parent(statement)
    while isinstance(outer, ast.For | ast.While | ast.With | ast.If) and not any(
        isinstance(node, ast.Call) and called(node) in ("backward", "step")
        for node in ast.walk(outer)
    ):
        statement, outer = outer, source.parent(outer)
    return statement


@cause("augmentation-too-strong", "noise that drowns what is to be learned")
def augmentation(case: Case) -> Iterator[Hypothesis]:
    drawn = _drawn(case)
    if drawn is None:
        return
    source, node = drawn
    for uniform in (0.5, 0.9999, 0.0001):
        yield Hypothesis(
            "augmentation-too-strong", NoNoise(uniform), TRIED,
            "random numbers are drawn for every minibatch", "weaker noise", {},
            Place(source.file, node.lineno), _weaker(source, node),
            later=uniform != 0.5, held=case.scouted.held > 0,
        )  # fmt: skip


def _drawn(case: Case) -> tuple[Source, ast.Call] | None:
    """Where random numbers are drawn for a minibatch: for an example or in training, if there."""
    found = [
        (source, node) for source in case.sources() for node in source.calls(*_DRAWS)
        if _in_loop(source, node) or _in_function(source, node)
    ]  # fmt: skip
    return max(found, key=lambda item: _near_training(*item), default=None)


def _weaker(source: Source, node: ast.Call) -> tuple[Edit, ...]:
    """The factor of the noise divided by 20."""
    product = source.parent(node)
    if not isinstance(product, ast.BinOp) or not isinstance(product.op, ast.Mult):
        return ()
    literal = source.literal(product.left if product.right is node else product.right)
    if literal is None:
        return ()
    return (source.replace(literal, repair.number(float(source.text_of(literal)) / 20)),)


def _near_training(source: Source, node: ast.AST) -> bool:
    """Whether in what makes one example, in a forward pass, or in a loop with ``backward``."""
    current = source.parent(node)
    while current is not None:
        if isinstance(current, ast.FunctionDef):
            return current.name in ("__getitem__", "forward", "__call__", "collate")
        if isinstance(current, ast.For | ast.While) and any(
            isinstance(item, ast.Call) and called(item) == "backward" for item in ast.walk(current)
        ):
            return True
        current = source.parent(current)
    return False


def _in_loop(source: Source, node: ast.AST) -> bool:
    current = source.parent(node)
    while current is not None:
        if isinstance(current, ast.For | ast.While):
            return True
        current = source.parent(current)
    return False


_MAKING = ("load", "make", "generate", "data", "main", "init", "reset", "split", "read", "get")


def _in_function(source: Source, node: ast.AST) -> bool:
    """Whether in a function that may be called for every minibatch: not one that makes the data."""
    current = source.parent(node)
    while current is not None:
        if isinstance(current, ast.FunctionDef):
            name = current.name.lower()
            return name == "__getitem__" or not any(word in name for word in _MAKING)
        current = source.parent(current)
    return False


@cause("overfitting", "learned by heart: good on what it is trained on, bad on what it is not")
def overfitting(case: Case) -> Iterator[Hypothesis]:
    held = [
        item.held for item in case.baseline.readings if item.step > 0 and item.held == item.held
    ]
    if len(held) < 4 or not case.scouted.held:
        return
    fitted, last, best = case.skill(), held[-1], max(held)
    if fitted < 0.6 or fitted - last < 0.25:
        return
    epochs = _epochs_line(case)
    words = (
        f"skill {fitted:.2f} on what it is trained on, {last:.2f} on what it is evaluated on"
        + (f" ({best:.2f} at its best, earlier)" if best > last + 0.05 else "")
    )
    for change in (AddDecay(0.01), AddDecay(0.1), AddNoise(0.3), AddDropout(0.5), StopEarly()):
        yield Hypothesis(
            "overfitting", change, SYMPTOM, words,
            "more data or augmentation, weight decay, dropout, a smaller network, early stopping",
            {"training": fitted, "evaluation": last, "best": best}, epochs, held=True,
        )  # fmt: skip


def _epochs_line(case: Case) -> Place | None:
    optimizer = case.optimizer
    return optimizer.made if optimizer else None
