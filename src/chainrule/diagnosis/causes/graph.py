"""Graph: parameters that no gradient reaches or no optimizer updates."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from chainrule.diagnosis import repair
from chainrule.diagnosis.case import CERTAIN, SYMPTOM, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.graph import (
    AddMissing,
    KeepGradients,
    KeepGraph,
    StepIt,
)
from chainrule.diagnosis.source import Edit, read_source


@cause("parameters-not-optimized", "parameters that no optimizer updates")
def not_optimized(case: Case) -> Iterator[Hypothesis]:
    yield from _never_stepped(case)
    yield from _cleared_too_soon(case)
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


def _never_stepped(case: Case) -> Iterator[Hypothesis]:
    """Gradients are computed, and neither an optimizer nor anything else changes a weight."""
    for name, place in case.record.idle[:1] if case.baseline.steps else ():
        yield Hypothesis(
            "parameters-not-optimized", StepIt(), CERTAIN,
            f"backward() is called and {name}.step() never: no weight has changed",
            "call optimizer.step() after backward()", {"updates": 0}, place,
            _uncalled(case) or _step_behind(case, place), decisive=True,
        )  # fmt: skip


def _cleared_too_soon(case: Case) -> Iterator[Hypothesis]:
    """Gradients are computed, and none is left when the optimizer updates."""
    norms = [
        (item.after_backward, item.before_step) for item in case.record.samples
        if item.after_backward is not None and item.before_step is not None
    ]  # fmt: skip
    if len(norms) < 2 or any(after or not before for before, after in norms):
        return
    if not all(part.held for model in case.record.models for part in model.parameters):
        return  # they may be those of parameters that the optimizer does not hold
    yield Hypothesis(
        "parameters-not-optimized", KeepGradients(), CERTAIN,
        f"backward() computes gradients of norm {norms[-1][0]:.3g}, and none is left at the "
        "update: they are cleared in between",
        "call zero_grad() before backward() or after step()", {"norm_at_update": 0.0},
        _clearing(case), _cleared_before(case), decisive=True,
    )  # fmt: skip


def _clearing(case: Case) -> Place | None:
    found = ((source, node) for source in case.sources() for node in source.calls("zero_grad"))
    return next((Place(source.file, node.lineno) for source, node in found), None)


def _cleared_before(case: Case) -> tuple[Edit, ...]:
    """``zero_grad()`` moved in front of ``backward()``."""
    for source in case.sources():
        cleared, back = (source.calls(name)[:1] for name in ("zero_grad", "backward"))
        statements = [source.statement(node) for node in (*cleared, *back)]
        if len(statements) == 2 and statements[0] is not None and statements[1] is not None:
            moved = source.before(statements[1], source.text_of(statements[0]))
            return (moved, repair.remove_statement(source, statements[0]))
    return ()


def _uncalled(case: Case) -> tuple[Edit, ...]:
    """``optimizer.step`` as a statement, without its brackets."""
    for source in case.sources():
        for node in source.references("step"):
            if isinstance(source.parent(node), ast.Expr):
                return (source.behind(node, "()"),)
    return ()


def _step_behind(case: Case, made: Place | None) -> tuple[Edit, ...]:
    """``optimizer.step()`` behind ``backward``."""
    source = None if made is None else read_source(made.file)
    place = None if source is None or made is None else source.statement_at(made.line)
    if source is None or not isinstance(place, ast.Assign):
        return ()
    for node in source.calls("backward"):
        statement = source.statement(node)
        if statement is not None:
            return (source.after(statement, f"{source.text_of(place.targets[0])}.step()"),)
    return ()


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
            decisive=found.evidence["parameters"] == found.evidence["of"],
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
    words = (r"\.detach\(\)", r"\.data\b", r"no_grad\(\)", r"torch\.tensor\(",
             r"\.numpy\(\)", r"\.item\(\)",
        r"argmax\(", r"\.round\(", r"requires_grad_?\b")  # fmt: skip
    found = [
        (not source.trains(number), rank, source.file, number)
        for source in case.sources()
        for number, line in enumerate(source.text.splitlines(), 1)
        for rank, word in enumerate(words)
        if re.search(word, line) and not line.lstrip().startswith(("#", "import", "from"))
    ]
    return Place(*min(found)[2:]) if found else None


def _wrapped_anew(case: Case) -> tuple[Edit, ...]:
    """``loss = Variable(loss.data, requires_grad=True)`` left out."""
    for source in case.sources():
        for node in source.calls("Variable", "tensor"):
            statement = source.statement(node)
            wraps = any(item.arg == "requires_grad" for item in node.keywords) and node.args
            if not wraps or not isinstance(statement, ast.Assign) or statement.value is not node:
                continue
            names = [item.id for item in ast.walk(node.args[0]) if isinstance(item, ast.Name)]
            if names and [source.text_of(item) for item in statement.targets] == names[:1]:
                return (repair.remove_statement(source, statement),)
    return ()


def _uncut(case: Case) -> tuple[Edit, ...]:
    if edits := _wrapped_anew(case):
        return edits
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
