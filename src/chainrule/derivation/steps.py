"""Steps: a finished chain rule written down, line by line."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.derivation.answer import (
    Derivation,
    Formula,
    GradientFormula,
    Number,
    Step,
    ValueRow,
)
from chainrule.derivation.chain_rule import ChainRule, Gradient, Link
from chainrule.derivation.expression import Expr, Shape, shape_text, symbols_of
from chainrule.derivation.notation import latex, latex_name, text
from chainrule.derivation.operations import OPERATIONS
from chainrule.derivation.proof import DerivationProof
from chainrule.derivation.rules import RULES

_LONG = 160  # characters after which an answer keeps the names of other gradients
_DEEP = 6  # names within names after which it does so too
_MOST_PATHS = 6
_RULES = {rule.name: rule for rule in RULES}


def written(rule: ChainRule, proof: DerivationProof, numbers: dict[str, Number]) -> Derivation:
    """The whole answer.

    Args:
        rule: differentiated.
        proof: of its formulas.
        numbers: values by name, gradients by "d" and the name; empty where not all are known.
    """
    return Derivation(
        rule.output,
        tuple(_values(rule, numbers)),
        tuple(_step(rule, item, numbers) for item in _shown(rule)),
        {name: _answer(rule, name, numbers) for name in rule.wanted},
        {name: formula(e) for name, e in rule.definitions.items()},
        {item.named: item.name for item in rule.gradients.values() if item.named},
        proof,
        notes=tuple(_notes(rule)),
    )


def formula(node: Expr) -> Formula:
    return Formula(text(node), latex(node))


def _values(rule: ChainRule, numbers: dict[str, Number]) -> Iterable[ValueRow]:
    program = rule.program
    for value in program.values.values():
        shape = shape_text(value.expr.shape) if value.expr.shape else ""
        yield ValueRow(
            value.name, formula(value.expr), shape, program.readers[value.name],
            value.layer, value.family, numbers.get(value.name),
        )  # fmt: skip


def _shown(rule: ChainRule) -> list[Gradient]:
    """Gradients in the order in which they are found; the output's own is 1 and goes unsaid."""
    return [item for item in rule.gradients.values() if item.name != rule.output or item.given]


def _step(rule: ChainRule, item: Gradient, numbers: dict[str, Number]) -> Step:
    readers = tuple(link.reader for link in item.links)
    put_in = _joined(item.links)
    result = formula(item.formula)
    return Step(
        item.name,
        readers,
        _chain(rule, item) if item.links else None,
        put_in if put_in is not None and put_in.text != result.text else None,
        {f"d{link.reader}/d{item.name}": formula(link.local) for link in item.links
         if link.local is not None},
        result,
        item.named,
        _shapes(item.formula),
        tuple(_reasons(rule, item)),
        tuple(_ties(rule, item)),
        rule.program.values[item.name].family if item.name in rule.program.values else "",
        item.name in rule.wanted,
        numbers.get(f"d{item.name}"),
    )  # fmt: skip


def _chain(rule: ChainRule, item: Gradient) -> Formula:
    """``dL/dv1*dv1/dz2 + dL/dv2*dv2/dz2``; what the output reads itself is a partial."""
    end = rule.output
    words, marks = [], []
    for link in item.links:
        if link.reader == end:
            words.append(f"∂{end}/∂{item.name}" if len(item.links) > 1 else f"d{end}/d{item.name}")
            sign = r"\partial" if len(item.links) > 1 else r"\mathrm{d}"
            marks.append(_ratio(end, item.name, sign))
        else:
            words.append(f"d{end}/d{link.reader}*d{link.reader}/d{item.name}")
            marks.append(f"{_ratio(end, link.reader)} {_ratio(link.reader, item.name)}")
    return Formula(" + ".join(words), " + ".join(marks))


def _ratio(above: str, below: str, sign: str = r"\mathrm{d}") -> str:
    return rf"\frac{{{sign} {latex_name(above)}}}{{{sign} {latex_name(below)}}}"


def _joined(links: tuple[Link, ...]) -> Formula | None:
    """The terms one by one, before like terms are collected."""
    if not links:
        return None
    return Formula(_sum([text(link.part) for link in links]),
                   _sum([latex(link.part) for link in links]))  # fmt: skip


def _sum(parts: list[str]) -> str:
    made = parts[0]
    for part in parts[1:]:
        made += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return made


def _shapes(node: Expr) -> str:
    """Shapes of the factors of matrix products: ``(D, N)(N, C) = (D, C)``."""
    if not node.shape:
        return ""
    products = [_factors(item) for item in _products(node)]
    told = list(dict.fromkeys("".join(shape_text(shape) for shape in item) for item in products))
    return f"{' + '.join(told)} = {shape_text(node.shape)}" if told else shape_text(node.shape)


def _products(node: Expr) -> Iterable[Expr]:
    if node.kind == "matmul":
        yield node
    elif node.kind in ("add", "mul"):
        for item in node.args:
            yield from _products(item)


def _factors(node: Expr) -> list[Shape]:
    found: list[Shape] = []
    for item in node.args:
        found += _factors(item) if item.kind == "matmul" else [item.shape]
    return found


def _kinds(rule: ChainRule, item: Gradient) -> list[str]:
    """Operations between a name and those that read it."""
    found: dict[str, None] = {}
    for link in item.links:
        waiting = [rule.program.values[link.reader].expr]
        while waiting:
            node = waiting.pop()
            if item.name in symbols_of(node):
                found.setdefault(node.kind)
                waiting += node.args
    return list(found)


def _reasons(rule: ChainRule, item: Gradient) -> Iterable[str]:
    plain = ("add", "mul", "power", "symbol", "expand", "insert", "reshape", "transpose")
    for kind in _kinds(rule, item):
        if kind not in plain and OPERATIONS[kind].reason:
            yield OPERATIONS[kind].reason


def _ties(rule: ChainRule, item: Gradient) -> Iterable[str]:
    for kind in _kinds(rule, item):
        found = _RULES.get(OPERATIONS[kind].rule) if kind in OPERATIONS else None
        if found is not None:
            ours = "this formula 0, " if kind in ("max", "min") else ""
            yield (
                f"{kind} has no gradient where {_where(found.kink)}: {ours}PyTorch takes "
                f"{found.at_kink}"
            )


def _where(kink: str) -> str:
    return kink.replace("x = 0", "its input is 0")


def _answer(rule: ChainRule, name: str, numbers: dict[str, Number]) -> GradientFormula:
    shape = rule.program.shape(name)
    if name not in rule.gradients:
        zero: Number = 0.0 if not shape else None
        note = f"{rule.output} does not depend on it: the gradient is 0"
        return GradientFormula("0", "0", zero, shape_text(shape) if shape else "", (), note)
    chosen = rule.gradients[name].formula
    if rule.depths[name] <= _DEEP and len(text(full := rule.in_full(name))) <= _LONG:
        chosen = full
    paths = rule.program.paths(name, rule.ends, _MOST_PATHS)
    count = rule.program.count_paths(rule.ends)[name]
    return GradientFormula(
        text(chosen),
        latex(chosen),
        numbers.get(f"d{name}"),
        _shapes(chosen),
        tuple(" -> ".join(path) for path in paths)
        + ((f"{count - len(paths):,} more",) if count > len(paths) else ()),
    )


def _notes(rule: ChainRule) -> Iterable[str]:
    bare = [leaf.name for leaf in rule.program.leaves.values() if not leaf.shape and not leaf.role]
    arrays = any(leaf.shape for leaf in rule.program.leaves.values())
    if bare and arrays:
        yield f"taken as one number, since no shape is declared: {', '.join(bare)}"
    repeated = _singular_values(rule)
    if repeated:
        yield repeated


def _singular_values(rule: ChainRule) -> str:
    """Recurrent matrices: the same one multiplies the gradient at every step."""
    counts: dict[str, int] = {}
    for item in rule.gradients.values():
        for node in _products(item.formula):
            left = node.args[0]
            if left.kind == "transpose" and left.args[0].kind == "symbol":
                own = left.args[0]
                if own.shape[0] == own.shape[1]:
                    counts[own.data] = counts.get(own.data, 0) + 1
    name = max(counts, key=lambda key: counts[key], default="")
    if not name or counts[name] < 2:
        return ""
    return (
        f"{name}^T multiplies the gradient {counts[name]} times, once per step back in time: it "
        f"grows at most like s^{counts[name]}, s the largest singular value of {name} (vanishing "
        "below 1, exploding possible above 1)"
    )
