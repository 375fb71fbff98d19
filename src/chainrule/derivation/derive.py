"""Derive: the gradient by hand, step by step, with a proof of every formula."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from chainrule.derivation.answer import Derivation, Number, Update
from chainrule.derivation.chain_rule import ChainRule
from chainrule.derivation.expression import Expr, number, shape_text, symbols_of
from chainrule.derivation.from_network import program_of
from chainrule.derivation.operations import evaluate
from chainrule.derivation.program import Program
from chainrule.derivation.proof import prove
from chainrule.derivation.reading import read, read_formula
from chainrule.derivation.running import Point, Running, axis_sizes
from chainrule.derivation.steps import written
from chainrule.derivation.update import updates
from chainrule.errors import NotationError, ShapeError, suggestion

Names = str | Sequence[str] | None


def derive(
    equations: Any,
    wrt: Names = None,
    *,
    given: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
    output: str | None = None,
    update: str | None = None,
    learning_rate: float = 0.1,
    loss: str | None = None,
    input: Sequence[int] | None = None,  # noqa: A002 - the name that users know
    seed: int = 0,
) -> Derivation:
    """Write the gradient out by the chain rule, and prove it before it is shown.

    Args:
        equations: text, one equation per line (``z = w*x + b``), arrays declared by their shapes
            (``X: (N, D)``); or a network: a ``torch.nn.Module`` or a ``NetworkSpec``.
        wrt: names by which the gradient is wanted, "z1,k1" or a list; by default every input.
        given: gradients of the output that are known already, by value: ``{"v1": "delta1"}``;
            derivations end there.
        values: numbers, or nested lists, by input; steps then show theirs.
        output: what is differentiated; by default the last value.
        update: name of an update rule (sgd, momentum, nesterov, adagrad, rmsprop, adam) whose
            first step is appended.
        learning_rate: of the update rule.
        loss: for networks: softmax, svm or mse, put behind the last layer.
        input: for networks: shape of one example, (C, H, W) or (features,).
        seed: of the points at which the proof is made.

    Raises:
        NotationError: the text cannot be read, or a name is unknown; with line and caret.
        ShapeError: shapes do not fit, with both.
        DerivationError: a formula failed its proof.

    Examples:
        >>> found = derive("z = w*x + b; v = max(z, 0); L = (v - y)^2 / 2", "w")
        >>> found.gradients["w"].formula
        '(v - y)*1{z > 0}*x'
        >>> derive("L = a*b", values={"a": 2, "b": 5}).gradients["a"].value
        5.0
    """
    text = isinstance(equations, str)
    program = read(equations) if text else program_of(equations, loss, input)
    end = _output(program, output, given)
    if wrt is None and not text:
        wrt = [name for name in program.leaves if name not in ("x", "t", "y")]  # the parameters
    rule = ChainRule(program, end, _given(program, given), _wanted(program, wrt))
    rule.differentiate()
    proof = prove(rule, seed)
    numbers = _numbers(rule, values)
    derivation = written(rule, proof, numbers)
    if update is not None:
        derivation = replace(derivation, updates=_updates(rule, numbers, update, learning_rate))
    return derivation


def _output(program: Program, output: str | None, given: Mapping[str, Any] | None) -> str:
    if output is None:
        output = "L" if given and "L" not in program.names else program.output
    elif output not in program.values:
        raise _unknown("output", output, list(program.values))
    if output in program.values and program.shape(output) and not given:
        raise ShapeError(
            f"output {output} has shape {shape_text(program.shape(output))}, wants one number: "
            f"end with a line such as L = sum({output}), or give its gradient"
        )
    return output


def _wanted(program: Program, wrt: Names) -> tuple[str, ...]:
    if wrt is None:
        return tuple(name for name, leaf in program.leaves.items() if not leaf.role)
    names = [item.strip() for item in wrt.split(",")] if isinstance(wrt, str) else list(wrt)
    for name in names:
        if name not in program.names:
            raise _unknown("wrt", name, program.names)
    return tuple(dict.fromkeys(names))


def _given(program: Program, given: Mapping[str, Any] | None) -> dict[str, Expr]:
    """Gradients from outside as formulas: a name, or a number."""
    found = {}
    for name, what in (given or {}).items():
        if name not in program.values:
            raise _unknown("given", name, list(program.values))
        shape = program.shape(name)
        made = read_formula(str(what), dict.fromkeys(_words(str(what)), shape))
        if made.shape != shape:
            made = number(made.data, shape) if made.kind == "number" else made
        if made.shape != shape:
            raise ShapeError(f"given: the gradient by {name} does not have its shape")
        clash = [item for item in _words(str(what)) if item in program.names]
        if clash:
            raise NotationError(f"given: {clash[0]} is a name in the equations, wants another one")
        found[name] = made
    return found


def _words(text: str) -> list[str]:
    return [text.strip()] if text.strip().isidentifier() else []


def _unknown(argument: str, name: str, known: Sequence[str]) -> NotationError:
    names = ", ".join(known)
    return NotationError(
        f"{argument} got '{name}', which the equations do not name{suggestion(name, known)}; "
        f"names: {names if len(names) < 300 else names[:300] + ' ...'}"
    )


def _numbers(rule: ChainRule, values: Mapping[str, Any] | None) -> dict[str, Number]:
    """Values and gradients (as "d" and the name) at the given point; empty without one."""
    if not values:
        return {}
    program = rule.program
    point = {name: _tensor(rule, name, item) for name, item in values.items()}
    inside = {name: item for name, item in point.items() if name in program.leaves}
    running = Running(rule, axis_sizes(program, inside))
    running.given = {name: item for name, item in point.items() if name not in program.leaves}
    known = _known(running, inside)
    found: Point = {**known, **running.given}
    if set(program.leaves) <= set(inside) and not _missing_given(rule, running.given):
        found |= {f"d{name}": item for name, item in running.gradients(known).items()}
    return {name: (item + 0.0).tolist() for name, item in found.items()}  # no -0


def _missing_given(rule: ChainRule, given: Point) -> list[str]:
    return [n for e in rule.given.values() for n in symbols_of(e) if n not in given]


def _known(running: Running, point: Point) -> Point:
    """The point with every value that can be computed from it."""
    from chainrule.derivation.expression import symbols_of

    known = dict(point)
    for name, value in running.program.values.items():
        if all(item in known for item in symbols_of(value.expr)):
            known[name] = evaluate(value.expr, known, running.axes)
    return known


def _tensor(rule: ChainRule, name: str, value: Any) -> Tensor:
    program = rule.program
    allowed = [*program.leaves, *_missing_given(rule, {})]
    if name not in allowed:
        if name in program.values:
            raise NotationError(f"values: {name} is computed, give its inputs instead")
        raise _unknown("values", name, allowed)
    try:
        if isinstance(value, str):
            value = json.loads(value) if value.startswith("[") else float(value)
        made = torch.as_tensor(value, dtype=torch.float64)
    except (ValueError, TypeError, RuntimeError):
        raise NotationError(
            f"values: {name} got '{value}', wants a number or nested lists of numbers"
        ) from None
    if not bool(torch.isfinite(made).all()):
        raise NotationError(f"values: {name} is not finite")
    return made


def _updates(
    rule: ChainRule, numbers: dict[str, Number], update: str, learning_rate: float
) -> tuple[Update, ...]:
    names = [name for name in rule.wanted if name in rule.program.leaves]
    return updates(names, numbers, update, learning_rate)
