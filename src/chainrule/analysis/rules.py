"""Rules: what all field rules share, and the simplest of them.

A rule tells what the outputs of an operation see, given what its inputs see. Rules for axes,
windows, mixing and lookups are in ``rules_axes``, ``rules_windows``, ``rules_mixing`` and
``rules_lookup``; the table that maps operators to rules is in ``field_rules``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chainrule.analysis import field as fields
from chainrule.analysis.field import Field
from chainrule.analysis.graph import Operation, View

Getter = Callable[[View], Field | None]
Rule = Callable[[Operation, Getter], "Field | list[Field | None] | None"]


def pointwise(operation: Operation, get: Getter) -> Field | None:
    """Element by element, broadcast."""
    parts = [part for view in operation.inputs if (part := get(view)) is not None]
    if not parts or not operation.outputs:
        return None
    return fields.joined(operation.outputs[0].shape, parts)


def constant(_operation: Operation, _get: Getter) -> None:
    """The output does not depend on the input."""


def same(operation: Operation, get: Getter) -> Field | None:
    """The first tensor as it is."""
    return get(operation.inputs[0])


def copied(operation: Operation, get: Getter) -> Field | None:
    """``target.copy_(source)``."""
    source = get(operation.argument("src"))
    return None if source is None else fields.expanded(source, operation.outputs[0].shape)


def restrided(operation: Operation, get: Getter) -> Any:
    """The same elements in another order of memory; a true change of shape is not followed."""
    source, output = operation.inputs[0], operation.outputs[0]
    return (
        get(source)
        if source.shape == output.shape
        else whole(operation, [found] if (found := get(source)) else [])
    )


def halves(operation: Operation, get: Getter) -> Field | None:
    """Gated linear units: one half of an axis times the other."""
    found, shape = get(operation.inputs[0]), operation.outputs[0].shape
    if found is None:
        return None
    axis = axis_of(operation)
    size = shape[axis]
    parts = [fields.sliced(found, axis, slice(begin, begin + size)) for begin in (0, size)]
    return fields.joined(shape, parts)


def axis_of(operation: Operation, name: str = "dim", rank: int | None = None) -> int:
    axis = int(operation.argument(name))
    return axis % (rank or max(len(operation.inputs[0].shape), 1))


def only(rule: Callable[[Operation, Field], Any]) -> Rule:
    """A rule of operations whose first tensor alone carries the input."""

    def applied(operation: Operation, get: Getter) -> Any:
        found = get(operation.inputs[0])
        return None if found is None else rule(operation, found)

    applied.__doc__ = rule.__doc__
    return applied


def whole(operation: Operation, parts: list[Field]) -> Any:
    """Any unit may see all that any unit of the parts sees."""
    if not parts:
        return None
    made = []
    for output in operation.outputs:
        flat = [fields.reduced(part, range(len(part.shape)), keep=False) for part in parts]
        found = fields.joined((), flat)
        found = replace(found, sees_all=True, lattices=(None,) * len(found.lattices))
        made.append(fields.expanded(found, output.shape))
    return made


def everything(operation: Operation, get: Getter) -> Any:
    """Any unit sees all that any unit of its sources sees (declared for a custom operation)."""
    return whole(operation, [part for item in operation.inputs if (part := get(item))])
