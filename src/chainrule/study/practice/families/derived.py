"""Derived formulas: gradients by the symbolic chain rule, and whether autograd agrees with them."""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random

import torch
from torch import Tensor

from chainrule.derivation.chain_rule import ChainRule
from chainrule.derivation.expression import Expr, symbol
from chainrule.derivation.notation import text
from chainrule.derivation.operations import evaluate
from chainrule.derivation.program import Program
from chainrule.derivation.reading import read, read_formula

Given = tuple[tuple[str, str], ...]
Point = dict[str, Tensor]
AUTOGRAD = "PyTorch's autograd at random points"
_POINTS, _CLOSE = 6, 1e-9


@lru_cache(maxsize=2048)
def gradient(equations: str, name: str, given: Given = ()) -> str:
    """The gradient by a name, as the chain rule gives it.

    Args:
        equations: in the notation of ``chainrule derive``; scalars only.
        name: by which.
        given: values with the names of their gradients; () to differentiate the last value.

    Examples:
        >>> gradient("v = max(z1, z2)", "z1", (("v", "d"),))
        'd*1{z1 > z2}'
    """
    program = _program(equations)
    end = "L" if given else program.output
    known = {value: symbol(upstream, ()) for value, upstream in given}
    rule = ChainRule(program, end, known, (name,))
    rule.differentiate()
    return text(rule.in_full(name)) if name in rule.gradients else "0"


@lru_cache(maxsize=2048)
def _program(equations: str) -> Program:
    return read(equations)


def value_of(formula: str, point: Point) -> float:
    """A formula with numbers put in."""
    return float(evaluate(_formula(formula), point, {}).detach())


@lru_cache(maxsize=2048)
def _formula(formula: str) -> Expr:
    return read_formula(formula, {})


def completed(equations: str, inputs: dict[str, float]) -> Point:
    """All values of a graph from its inputs, in float64, ready for autograd."""
    known: Point = {
        name: torch.tensor(float(value), dtype=torch.float64, requires_grad=True)
        for name, value in inputs.items()
    }
    for value in _program(equations).values.values():
        known[value.name] = evaluate(value.expr, known, {})
    return known


@lru_cache(maxsize=2048)
def as_autograd_has_it(formula: str, equations: str, name: str, given: Given = ()) -> str:
    """The formula, if autograd has its value at random points; else with the difference added."""
    drawn = Random(1)
    worst = max(_difference(formula, equations, name, given, drawn) for _ in range(_POINTS))
    return formula if worst < _CLOSE else f"{formula} + {worst:.9f}"


def _difference(formula: str, equations: str, name: str, given: Given, drawn: Random) -> float:
    program = _program(equations)
    point = completed(equations, {leaf: drawn.gauss(0, 1) for leaf in program.leaves})
    point |= {upstream: torch.tensor(drawn.gauss(0, 1)).double() for _, upstream in given}
    ends = [point[value] * point[upstream] for value, upstream in given]
    total = torch.stack(ends).sum() if ends else point[program.output]
    found = torch.autograd.grad(total, point[name], allow_unused=True)[0]
    return abs(value_of(formula, point) - (0.0 if found is None else float(found)))


def renamed(formula: str, names: dict[str, str]) -> str:
    """The same formula with other letters."""
    return re.sub(r"[A-Za-z_]\w*", lambda match: names.get(match[0], match[0]), formula)
