"""Repair of the order: inputs and labels given one and the same permutation."""

from __future__ import annotations

import ast

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.repair import Edits
from chainrule.diagnosis.source import Source, called

_DRAWS = ("randperm", "permutation")


def shuffles(case: Case) -> Place | None:
    """The last line that shuffles something before the training loop, else in it."""
    for source in case.sources():
        calls = source.calls(*_DRAWS, "shuffle", "roll")
        before = [node for node in calls if source.outermost_loop(node) is None]
        if calls:
            return Place(source.file, (before or calls)[-1].lineno)
    return None


def one_order(case: Case) -> Edits:
    """Edits that shuffle both alike; empty where the script is written in another way."""
    for source in case.sources():
        found = _drawn_twice(source) or _shuffled_twice(source) or _one_sided(source, case)
        if found:
            return found
    return ()


def _indexed(source: Source) -> list[tuple[ast.Assign, str, ast.expr]]:
    """Statements ``a = a[...]`` outside of loops: statement, name, index."""
    found = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Assign) or source.outermost_loop(node) is not None:
            continue
        value, target = node.value, node.targets[0]
        if not isinstance(value, ast.Subscript) or not isinstance(target, ast.Name):
            continue
        if isinstance(value.value, ast.Name) and value.value.id == target.id:
            found.append((node, target.id, value.slice))
    return found


def _drawn_twice(source: Source) -> Edits:
    """``x = x[randperm(n)]`` and ``y = y[randperm(n)]``."""
    drawn = [
        (statement, index) for statement, _, index in _indexed(source)
        if isinstance(index, ast.Call) and called(index) in _DRAWS
    ]  # fmt: skip
    if len(drawn) != 2:
        return ()
    statement, index = drawn[0]
    return (
        source.before(statement, f"order = {source.text_of(index)}"),
        *(source.replace(item, "order") for _, item in drawn),
    )


def _shuffled_twice(source: Source) -> Edits:
    """``rng.shuffle(x)`` and ``rng.shuffle(y)``, in place."""
    found = []
    for node in source.calls("shuffle"):
        statement = source.statement(node)
        alone = isinstance(statement, ast.Expr) and source.outermost_loop(node) is None
        if alone and len(node.args) == 1 and isinstance(node.func, ast.Attribute):
            found.append((statement, source.text_of(node.func.value), source.text_of(node.args[0])))
    if len(found) != 2 or found[0][1] == "random":  # lists: no index of many
        return ()
    (first, owner, one), (second, _, other) = found
    assert first is not None
    assert second is not None
    indent = " " * first.col_offset
    return (
        source.replace(
            first, f"order = {owner}.permutation(len({one}))\n{indent}{one}[:] = {one}[order]"
        ),
        source.replace(second, f"{other}[:] = {other}[order]"),
    )


def _one_sided(source: Source, case: Case) -> Edits:
    """``x = x[order]`` alone: the same for what the loss compares with, or is computed from."""
    draws = {
        target.id
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        and called(node.value) in _DRAWS
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    found = [
        (statement, name, index.id) for statement, name, index in _indexed(source)
        if isinstance(index, ast.Name) and index.id in draws
    ]  # fmt: skip
    names = _compared(source, case)
    if len(found) != 1 or found[0][1] not in names:
        return ()
    statement, name, order = found[0]
    other = next((item for item in names if item != name), "")
    return (source.after(statement, f"{other} = {other}[{order}]"),) if other else ()


def _compared(source: Source, case: Case) -> list[str]:
    """Names of what the loss call indexes: inputs and targets of the whole data set."""
    place = case.loss.place if case.loss else None
    statement = source.statement_at(place.line) if place else None
    if place is None or place.file != source.file or statement is None:
        return []
    found = [
        node.value.id for node in ast.walk(statement)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
    ]  # fmt: skip
    return list(dict.fromkeys(found))
