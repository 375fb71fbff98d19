"""Answer: a derivation as facts, ready to be shown in any medium."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chainrule.answer import Answer
from chainrule.derivation.proof import DerivationProof

Number = float | list[Any] | None


@dataclass(frozen=True)
class Formula(Answer):
    """A formula in two notations.

    Attributes:
        text: in one line, as it may be typed.
        latex: the same in LaTeX.
    """

    text: str
    latex: str


@dataclass(frozen=True)
class ValueRow(Answer):
    """One named value of the graph.

    Attributes:
        name: its name.
        formula: what it is computed by.
        shape: its axes, "" for a scalar.
        read_by: values that read it.
        layer: the layer of a network that makes it, "" without one.
        family: the name without its index, where several were defined at once.
        value: its number, where all inputs are known.
    """

    name: str
    formula: Formula
    shape: str
    read_by: tuple[str, ...]
    layer: str = ""
    family: str = ""
    value: Number = None


@dataclass(frozen=True)
class Step(Answer):
    """The gradient by one name, as a person would write it down.

    Attributes:
        name: by which the gradient is taken.
        read_by: values that read it and lie on a path: the terms of the sum.
        chain: the chain rule, None where there is nothing to sum (the output, given gradients).
        put_in: local gradients put in, where that differs from the result.
        local: each local gradient by itself (scalars).
        result: the gradient, tidied.
        named: how it is called from there on, "" where it is not used again.
        shapes: shapes of the result and of the factors of its matrix products, "" for scalars.
        reasons: why each local gradient is what it is.
        ties: what happens at kinks.
        family: the name without its index, for folding.
        wanted: whether it was asked for.
        value: its number, where all inputs are known.
    """

    name: str
    read_by: tuple[str, ...]
    chain: Formula | None
    put_in: Formula | None
    local: dict[str, Formula]
    result: Formula
    named: str
    shapes: str
    reasons: tuple[str, ...]
    ties: tuple[str, ...]
    family: str
    wanted: bool
    value: Number = None


@dataclass(frozen=True)
class GradientFormula(Answer):
    """A gradient that was asked for.

    Attributes:
        formula: in names of values and given gradients only, or, where that would be long, in
            names of other gradients too.
        latex: the same in LaTeX.
        value: its number, where ``values`` has all inputs.
        shape: its axes, "" for a scalar.
        paths: ways from it to the output, or to a given gradient.
        note: what must be said ("L does not depend on it").
    """

    formula: str
    latex: str
    value: Number
    shape: str
    paths: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Update(Answer):
    """One step of an update rule, with numbers.

    Attributes:
        name: the parameter.
        formula: the rule with its numbers put in.
        value: the parameter afterwards.
    """

    name: str
    formula: str
    value: Number


@dataclass(frozen=True)
class Derivation(Answer):
    """Gradients written out by the chain rule, step by step, and proved.

    Attributes:
        output: what is differentiated.
        values: the graph: every named value, in order.
        steps: from the output back.
        gradients: the answers, by name.
        definitions: abbreviations in the formulas (P = softmax(S)).
        names: gradients that formulas call by a name (e1 = dL/dz1).
        proof: by autograd and central differences.
        updates: one step of an update rule, if asked for.
        notes: what must be added.

    Examples:
        >>> import chainrule
        >>> found = chainrule.derive("yhat = w*x + b; L = (y - yhat)^2 / 2")
        >>> found.gradients["w"].formula
        '(yhat - y)*x'
        >>> found.proof.points
        5
    """

    output: str
    values: tuple[ValueRow, ...]
    steps: tuple[Step, ...]
    gradients: dict[str, GradientFormula]
    definitions: dict[str, Formula]
    names: dict[str, str]
    proof: DerivationProof
    updates: tuple[Update, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> GradientFormula:
        """The gradient by a name."""
        return self.gradients[name]
