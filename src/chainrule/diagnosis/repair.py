"""Repair: the smallest edits of the user's file that do what a change did."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.source import Edit, Source, called, is_number, read_source

Edits = tuple[Edit, ...]


def number(value: float) -> str:
    """A number as one would write it.

    Examples:
        >>> number(0.1), number(1e-05), number(100.0), number(32)
        ('0.1', '1e-05', '100.0', '32')
    """
    if isinstance(value, int):
        return str(value)
    return repr(float(f"{value:.6g}"))


def argument(node: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """A keyword argument, or the one at a position."""
    for item in node.keywords:
        if item.arg == name:
            return item.value
    if position is not None and position < len(node.args):
        return node.args[position]
    return None


def set_argument(
    place: Place | None, name: str, change: Callable[[float], float], position: int | None = None,
    value: float | None = None, maker: str = "",
) -> Edits:  # fmt: skip
    """A number given to the call on a line, changed where it is written down.

    Args:
        place: line of the call.
        name, position: of the argument.
        change: old number -> new one.
        value: the number that it has: another one that is written there is not meant.
        maker: the function that has such an argument; only to it one is added.
    """
    source = None if place is None else read_source(place.file)
    if source is None or place is None:
        return ()
    node = source.call_at(place.line)
    while node is not None and argument(node, name, position) is None:
        inner = [item for item in ast.walk(node) if isinstance(item, ast.Call) and item is not node]
        node = next((item for item in inner if argument(item, name, None) is not None), None)
    if node is None:
        return _add_keyword(source, place, name, change, value, maker)
    given = argument(node, name, position)
    literal = source.literal(given)
    if literal is not None:
        return _changed(source, literal, change, value)
    meant = argument(node, name) is not None or called(node) == maker
    if given is not None and value is not None and meant:
        return (source.replace(given, number(change(value))),)
    return ()


def _changed(
    source: Source, literal: ast.expr, change: Callable[[float], float], value: float | None
) -> Edits:
    """A number changed, if it is the one that is meant."""
    try:
        before = float(eval(source.text_of(literal), {"__builtins__": {}}))
    except (SyntaxError, NameError, TypeError, ValueError):
        return ()
    if value is not None and not math.isclose(before, value, rel_tol=1e-6, abs_tol=1e-12):
        return ()
    return (source.replace(literal, number(change(before))),)


def set_keyword(
    case: Case, names: Sequence[str], change: Callable[[float], float], value: float
) -> Edits:
    """The one keyword of such a name and value, in whatever call: a framework's, perhaps."""
    found: dict[Edit, None] = {}
    for source in case.sources():
        for node in source.calls():
            for item in node.keywords:
                literal = source.literal(item.value) if item.arg in names else None
                if literal is not None:
                    found.update(dict.fromkeys(_changed(source, literal, change, value)))
    return tuple(found) if len(found) == 1 else ()


def _add_keyword(
    source: Source, place: Place, name: str, change: Callable[[float], float],
    value: float | None, maker: str,
) -> Edits:  # fmt: skip
    """The argument has its default: write it."""
    node = source.call_at(place.line, *([maker] if maker else []))
    if node is None or value is None:
        return ()
    text = source.text_of(node)
    if not text.endswith(")"):
        return ()
    inside = text[:-1].rstrip()
    comma = "" if inside.endswith(("(", ",")) else ", "
    return (source.replace(node, f"{inside}{comma}{name}={number(change(value))})"),)


def without_keyword(place: Place | None, name: str, value: str) -> Edits:
    """A keyword of the call on a line set to a value."""
    source = None if place is None else read_source(place.file)
    if source is None or place is None:
        return ()
    node = source.call_at(place.line)
    if node is None:
        return ()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            for item in inner.keywords:
                if item.arg == name:
                    literal = source.literal(item.value)
                    return (source.replace(literal or item.value, value),)
    return ()


def insert_before_backward(case: Case, text: Callable[[Source, ast.Call], str]) -> Edits:
    """A line before the call of ``backward``."""
    for source in case.sources():
        node = next(iter(source.calls("backward")), None)
        statement = None if node is None else source.statement(node)
        if node is not None and statement is not None:
            return (source.before(statement, text(source, node)),)
    return ()


def zero_grad(case: Case) -> Edits:
    """``optimizer.zero_grad()`` before ``backward``."""

    def line(source: Source, _node: ast.Call) -> str:
        step = next(
            (item for item in source.calls("step") if isinstance(item.func, ast.Attribute)
             and "sched" not in source.text_of(item.func)), None,
        )  # fmt: skip
        owner = "optimizer"
        if step is not None and isinstance(step.func, ast.Attribute):
            owner = source.text_of(step.func.value)
        return f"{owner}.zero_grad()"

    return insert_before_backward(case, line)


def drop_call(case: Case, names: Sequence[str], last: bool = True) -> Edits:
    """A call of a function of one argument is replaced by that argument.

    Of modules in a list (``nn.Softmax(dim=1)``), the whole element is taken out.
    """
    for source in case.sources():
        found = source.calls(*names)
        for node in reversed(found) if last else found:
            edits = _dropped(source, node)
            if edits:
                return edits
    return ()


def _dropped(source: Source, node: ast.Call) -> Edits:
    parent = source.parent(node)
    tensors = [item for item in node.args if not is_number(item)]
    if isinstance(node.func, ast.Attribute) and not _is_module(node.func) and not tensors:
        return (source.replace(node, source.text_of(node.func.value)),)  # scores.softmax(1)
    if tensors and not called(node)[:1].isupper():
        return (source.replace(node, source.text_of(tensors[0])),)
    if called(node)[:1].isupper():  # a module
        if isinstance(parent, ast.Call) and len(parent.args) > 1:
            return (_without_element(source, parent.args, node),)
        if isinstance(parent, ast.List | ast.Tuple) and len(parent.elts) > 1:
            return (_without_element(source, parent.elts, node),)
        return (source.replace(node, "nn.Identity()"),)
    return ()


def _is_module(node: ast.Attribute) -> bool:
    """``torch.relu``, ``F.softmax``, ``nn.functional.relu``: no tensor before the dot."""
    root: ast.expr = node.value
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in ("torch", "F", "nn", "functional")


def _without_element(source: Source, elements: Sequence[ast.expr], node: ast.expr) -> Edit:
    """An element of a list with the comma before or after it."""
    place = list(elements).index(node)
    if place:
        before = elements[place - 1]
        return Edit(
            source.file, before.end_lineno or before.lineno, before.end_col_offset or 0,
            node.end_lineno or node.lineno, node.end_col_offset or 0, "",
        )  # fmt: skip
    after = elements[1]
    return Edit(source.file, node.lineno, node.col_offset, after.lineno, after.col_offset, "")


def rename_call(case: Case, names: Sequence[str], to: Callable[[str], str], every: bool) -> Edits:
    """Other functions or modules called, or handed on: ``nn.Sigmoid`` -> ``nn.ReLU``."""
    found: list[Edit] = []
    for source in case.sources():
        functions = [node.func for node in source.calls(*names)] or source.references(*names)
        for func in functions:
            new = to(func.attr if isinstance(func, ast.Attribute) else source.text_of(func))
            if isinstance(func, ast.Attribute):
                end = func.end_col_offset or 0
                found.append(
                    Edit(source.file, func.end_lineno or func.lineno, end - len(func.attr),
                         func.end_lineno or func.lineno, end, new)
                )  # fmt: skip
            elif isinstance(func, ast.Name):
                found.append(source.replace(func, f"torch.nn.{new}" if new[0].isupper() else
                                            f"torch.{new}"))  # fmt: skip
            if not every:
                return tuple(found)
    return tuple(found)


def leaky(case: Case) -> Edits:
    """Every ReLU made leaky, with the slope of the replay."""
    found = []
    for source in case.sources():
        for node in source.calls("ReLU", "relu"):
            func, text = node.func, source.text_of(node.func)
            if called(node) == "ReLU":
                new = f"{text.removesuffix('ReLU')}LeakyReLU(0.1)"
            elif node.args and isinstance(func, ast.Attribute) and _is_module(func):
                owner = text.removesuffix("relu").replace("torch.", "torch.nn.functional.")
                owner = owner.replace("functional.nn.functional", "functional")
                new = f"{owner}leaky_relu({source.text_of(node.args[0])}, 0.1)"
            else:
                continue
            found.append(source.replace(node, new))
    return tuple(found)


def remove_statement(source: Source, statement: ast.stmt) -> Edit:
    """A statement replaced by nothing (``pass`` where it stands alone in its block)."""
    parent = source.parent(statement)
    alone = any(
        isinstance(body, list) and body == [statement]
        for body in (getattr(parent, name, None) for name in ("body", "orelse", "finalbody"))
    )
    if alone:
        return source.replace(statement, "pass")
    line = statement.lineno
    end = statement.end_lineno or line
    if source.lines[line - 1][: statement.col_offset].strip():
        return source.replace(statement, "pass")
    if end < len(source.lines):
        return Edit(source.file, line, 0, end + 1, 0, "")
    return source.replace(statement, "pass")


def remove_statements(source: Source, statements: Sequence[ast.stmt]) -> Edits:
    """Statements replaced by nothing, with ``pass`` for the first of a block that is left empty."""
    gone = set(statements)
    empty = {
        body[0]
        for parent in {source.parent(item) for item in statements}
        for body in (getattr(parent, name, None) for name in ("body", "orelse", "finalbody"))
        if isinstance(body, list) and body and gone.issuperset(body)
    }
    return tuple(
        source.replace(item, "pass") if item in empty else remove_statement(source, item)
        for item in statements
    )


def remove_call_statements(case: Case, names: Sequence[str]) -> Edits:
    """Statements that are nothing but a call of one of these."""
    found: list[Edit] = []
    for source in case.sources():
        statements = [
            statement for node in source.calls(*names)
            if isinstance(statement := source.statement(node), ast.Expr) and statement.value is node
        ]  # fmt: skip
        found += remove_statements(source, statements)
    return tuple(found)
