"""Graph: parameters that no gradient reaches or no optimizer updates."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from chainrule.diagnosis.case import CERTAIN, SYMPTOM, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.rebuilding import KeepGraph
from chainrule.diagnosis.replaying.changes.updating import AddMissing
from chainrule.diagnosis.source import Edit, read_source


@cause("parameters-not-optimized", "parameters that no optimizer updates")
def not_optimized(case: Case) -> Iterator[Hypothesis]:
    found = case.found("parameters-not-optimized")
    if found is not None:
        place = case.place(found.place)
        yield Hypothesis(
            "parameters-not-optimized", AddMissing(), CERTAIN, found.meaning, found.remedy,
            found.evidence, place, _all_parameters(case, place),
        )  # fmt: skip
    for model in case.record.models if found is None else ():
        reached = [item for item in model.parameters if item.trainable and item.reached]
        if reached and not any(item.held for item in model.parameters) and case.optimizer:
            yield Hypothesis(
                "parameters-not-optimized", AddMissing(), SYMPTOM,
                f"the {len(reached)} parameters of {model.name} get gradients, but no optimizer "
                "holds one of them",
                f"give the optimizer those of {model.name}, too, unless that is meant",
                {"parameters": len(reached)}, case.optimizer.made, _both(case, model.name),
            )  # fmt: skip
    frozen = [item.path for item in case.traits if item.frozen]
    if frozen:
        yield Hypothesis(
            "parameters-not-optimized", AddMissing(True), SYMPTOM,
            f"{', '.join(frozen[:3])} get no gradient (requires_grad = False)",
            "leave requires_grad as it is", {"frozen": len(frozen)}, _frozen_line(case),
        )  # fmt: skip


def _all_parameters(case: Case, place: Place | None) -> tuple[Edit, ...]:
    source = None if place is None else read_source(place.file)
    node = None if source is None or place is None else source.call_at(place.line)
    model = next(iter(case.record.models), None)
    if source is None or node is None or not node.args or model is None or case.record.strangers:
        return ()
    text = source.text_of(node.args[0])
    root = text.split(".")[0]
    name = model.name if model.name.isidentifier() else root
    if root == "self" and not text.startswith("self.parameters"):
        name = "self" if text.count(".") <= 2 and model.name == "self" else f"self.{model.name}"
    return (source.replace(node.args[0], f"{name}.parameters()"),)


def _both(case: Case, name: str) -> tuple[Edit, ...]:
    """The parameters of one more network for the optimizer."""
    place = case.optimizer.made if case.optimizer else None
    source = None if place is None else read_source(place.file)
    node = None if source is None or place is None else source.call_at(place.line)
    if source is None or node is None or not node.args or not name.isidentifier():
        return ()
    text = source.text_of(node.args[0])
    if not text.endswith(".parameters()"):
        return ()
    return (source.replace(node.args[0], f"[*{name}.parameters(), *{text}]"),)


def _frozen_line(case: Case) -> Place | None:
    for source in case.sources():
        for number, line in enumerate(source.text.splitlines(), 1):
            if "requires_grad" in line and "False" in line:
                return Place(source.file, number)
    return None


@cause("graph-detached", "the gradient is cut off on its way back")
def detached(case: Case) -> Iterator[Hypothesis]:
    found = case.found("graph-detached")
    if found is not None:
        yield Hypothesis(
            "graph-detached", KeepGraph(), CERTAIN, found.meaning, found.remedy, found.evidence,
            _cut_line(case) or case.place(found.place), _uncut(case),
        )  # fmt: skip
    elif edits := _data_in_forward(case):
        yield Hypothesis(
            "graph-detached", KeepGraph(), SYMPTOM,
            "forward() takes .data of a tensor: no gradient goes through it",
            "the tensor itself", {}, None, edits,
        )  # fmt: skip


def _data_in_forward(case: Case) -> tuple[Edit, ...]:
    """``.data`` left out of ``forward``."""
    return tuple(
        source.replace(node, source.text_of(node.value))
        for source in case.sources()
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef) and function.name == "forward"
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "data"
        and isinstance(node.ctx, ast.Load)
    )  # fmt: skip


def _cut_line(case: Case) -> Place | None:
    words = (".detach()", ".data", "no_grad()", "torch.tensor(", ".numpy()", ".item()")
    for word in words:
        for source in case.sources():
            for number, line in enumerate(source.text.splitlines(), 1):
                if word in line and not line.lstrip().startswith("#"):
                    return Place(source.file, number)
    return None


def _uncut(case: Case) -> tuple[Edit, ...]:
    for source in case.sources():
        for node in source.calls("detach"):
            if isinstance(node.func, ast.Attribute) and not node.args:
                return (source.replace(node, source.text_of(node.func.value)),)
        for node in source.calls("tensor"):
            if len(node.args) == 1 and isinstance(node.args[0], ast.Name | ast.Call):
                inside = source.statement(node)
                if isinstance(inside, ast.Assign) and "self" in source.text_of(inside):
                    return (source.replace(node, source.text_of(node.args[0])),)
    return _data_in_forward(case)
