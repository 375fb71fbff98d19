"""Repair of losses: edits that put another loss, or another sign, in place of the user's."""

from __future__ import annotations

import ast

from chainrule.diagnosis import repair
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.repair import Edits
from chainrule.diagnosis.source import Source, called

_CLASSES_OF = {
    "cross_entropy": "CrossEntropyLoss", "mse_loss": "MSELoss", "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss", "huber_loss": "HuberLoss", "nll_loss": "NLLLoss",
    "binary_cross_entropy": "BCELoss", "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
}  # fmt: skip


def made(case: Case) -> Place | None:
    """Where the loss is made, if it is one of PyTorch's modules."""
    name = _CLASSES_OF.get(case.loss.function if case.loss else "", "")
    for source in case.sources():
        calls = source.calls(name) if name else []
        if calls:
            return Place(source.file, calls[0].lineno)
    return None


def cross_entropy(case: Case) -> Edits:
    """Cross entropy in place of the loss; one-hot targets it takes as they are."""
    name = case.loss.function if case.loss else ""
    to = {name: "cross_entropy", _CLASSES_OF.get(name, name): "CrossEntropyLoss"}
    return repair.rename_call(case, tuple(to), lambda old: to[old], False)


def scores_of_classes(case: Case, classes: int) -> Edits:
    """A score for each class from the last layer, and whole numbers as targets."""
    place = case.loss.place if case.loss else None
    source = case.source(place) if place else None
    node = source.call_at(place.line) if source and place else None
    units = _one_unit(case)
    if source is None or node is None or len(node.args) < 2 or units is None:
        return ()
    given, target = node.args[:2]
    if isinstance(given, ast.Call) and called(given) in ("squeeze", "view", "flatten"):
        return ()
    owner, literal = units
    return (
        *cross_entropy(case), source.behind(target, ".long().reshape(-1)"),
        owner.replace(literal, str(classes)),
    )  # fmt: skip


def _one_unit(case: Case) -> tuple[Source, ast.expr] | None:
    """The 1 in the last ``Linear(..., 1)``."""
    found = None
    for source in case.sources():
        for node in source.calls("Linear"):
            literal = source.literal(repair.argument(node, "out_features", 1))
            if literal is not None and source.text_of(literal) == "1":
                found = source, literal
    return found


def without_minus(case: Case) -> Edits:
    """A minus before a loss taken away, or one put before it."""
    for source in case.sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                text = source.text_of(node.operand)
                inner = node.operand
                if isinstance(inner, ast.Constant) or (
                    "loss" not in text.lower()
                    and ("criterion" not in text and "entropy" not in text and "mse" not in text)
                ):
                    continue
                return (source.replace(node, text),)
    for source in case.sources():
        call = next(iter(source.calls("backward")), None)
        if call is not None and isinstance(call.func, ast.Attribute):
            return (source.replace(call.func.value, f"(-{source.text_of(call.func.value)})"),)
    return ()
