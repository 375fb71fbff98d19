"""Numerics: numbers that leave what floating point can hold."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.diagnosis.case import CERTAIN, SYMPTOM, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.replaying.changes.guarding import FullPrecision, GuardOperation
from chainrule.diagnosis.source import Edit, called

_GUARDED = ("log", "log2", "log10", "sqrt", "rsqrt", "exp", "acos", "asin", "div", "truediv",
            "true_divide", "reciprocal", "pow", "norm", "std", "var", "rtruediv", "arccos",
            "arcsin")  # fmt: skip


@cause("numerical-overflow", "an operation whose result or slope is infinite")
def overflow(case: Case) -> Iterator[Hypothesis]:
    origin, found = case.record.origin, case.found("numerical-overflow")
    if origin is None or found is None:
        return
    half = case.inputs is not None and case.inputs.dtype == "float16"
    if half:
        yield Hypothesis(
            "numerical-overflow", FullPrecision(), SYMPTOM, found.meaning, "float32",
            found.evidence, origin.place,
        )  # fmt: skip
    name = origin.operation.strip("_").lower()
    name = next((item for item in _GUARDED if item == name or name.startswith(item)), "")
    early = origin.step <= 3 or origin.stage in ("loss", "backward")
    names = [name] if name else ["log", "sqrt", "div", "exp"] if early else []
    for item in names:
        yield Hypothesis(
            "numerical-overflow", GuardOperation(item, 0), CERTAIN if name and early else SYMPTOM,
            found.meaning, found.remedy, found.evidence, origin.place, _guard(case, item),
            later=not name,
        )  # fmt: skip


def _guard(case: Case, name: str) -> tuple[Edit, ...]:
    """An argument kept away from where the function is infinite."""
    origin = case.record.origin
    place = origin.place if origin else None
    source = case.source(place) if place else None
    if source is None or place is None:
        return ()
    guard = {"log": ".clamp_min(1e-7)", "sqrt": ".clamp_min(1e-12)", "exp": ".clamp_max(30)"}
    if name not in guard:
        return ()
    node = source.call_at(place.line, name)
    if node is None or called(node) != name:
        return ()
    import ast

    if node.args:
        given = node.args[0]
        return (source.replace(given, f"({source.text_of(given)}){guard[name]}"),)
    if isinstance(node.func, ast.Attribute):
        inner = source.text_of(node.func.value)
        return (source.replace(node.func.value, f"({inner}){guard[name]}"),)
    return ()
