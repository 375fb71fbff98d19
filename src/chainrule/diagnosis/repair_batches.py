"""Repair batches: another minibatch in each step, where a script takes the same one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.source import Edit, Source, called


def next_line(case: Case) -> Place | None:
    """The line that begins an iterator anew, else the one that takes from it outside of a loop."""
    for source in case.sources():
        calls = list(source.calls("next"))
        for node in calls:
            if "iter" in source.text_of(node):
                return Place(source.file, node.lineno)
        for node in calls:
            if source.outermost_loop(node) is None and _fetch(source, node) is not None:
                return Place(source.file, node.lineno)
    return None


def _fetch(source: Source, node: ast.Call) -> ast.stmt | None:
    """``batch = next(stream)`` as a statement."""
    inside = source.statement(node)
    return inside if isinstance(inside, ast.Assign) and inside.value is node else None


def endless(case: Case) -> tuple[Edit, ...]:
    """``next(iter(loader))`` in a loop made the next of an endless row of minibatches."""
    for source in case.sources():
        for node in source.calls("next"):
            inner = node.args[0] if node.args else None
            if not isinstance(inner, ast.Call) or called(inner) != "iter" or not inner.args:
                continue
            loop = source.outermost_loop(node)
            if loop is None:
                continue
            loader = source.text_of(inner.args[0])
            lines = (
                "import itertools",
                f"minibatches = itertools.chain.from_iterable(itertools.repeat({loader}))",
            )
            return (source.replace(node, "next(minibatches)"), *source.lines_before(loop, lines))
    return ()


def next_in_loop(case: Case) -> tuple[Edit, ...]:
    """What was taken from an iterator before the loop is taken anew at each of its turns."""
    for source in case.sources():
        for node in source.calls("next"):
            fetch = _fetch(source, node)
            if fetch is None or source.outermost_loop(node) is not None:
                continue
            loop = next((item for item in _loops(source, fetch)), None)
            if loop is not None:
                return source.lines_before(loop.body[0], (source.text_of(fetch),))
    return ()


def _loops(source: Source, fetch: ast.stmt) -> Iterator[ast.For | ast.While]:
    """The innermost loop that trains, of those behind a statement in the same block."""
    beside = source.parent(fetch)
    for outer in ast.walk(source.tree):
        if source.parent(outer) is beside and getattr(outer, "lineno", 0) > fetch.lineno:
            loops = [item for item in ast.walk(outer) if isinstance(item, ast.For | ast.While)]
            yield from reversed([item for item in loops if ".backward(" in source.text_of(item)])
