"""Chain rule: gradients written out value by value, from the output back.

For each value: the chain rule as a sum over the values that read it, local gradients put in,
tidied; a result that is used again gets a name, and the name is used from there on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from chainrule.derivation.expression import (
    Expr,
    add,
    expanded,
    number,
    substituted,
    symbol,
    symbols_of,
)
from chainrule.derivation.operations import OPERATIONS
from chainrule.derivation.program import Program

_ABBREVIATED = {"softmax": "P", "onehot": "Y", "over_margin": "M", "normalized": "xhat",
                "deviation": "sigma"}  # fmt: skip


@dataclass(frozen=True)
class Link:
    """One path's last piece: from a value to one that reads it.

    Attributes:
        reader: the value that reads it.
        upstream: gradient of the output by the reader, as it is named.
        part: upstream times local gradient.
        local: the local gradient alone, None where it is no formula by itself (arrays).
    """

    reader: str
    upstream: Expr
    part: Expr
    local: Expr | None


@dataclass(frozen=True)
class Gradient:
    """The gradient of the output by one name.

    Attributes:
        name: by which it is taken.
        links: one for each value that reads it; none where it is given or the output itself.
        formula: their sum, tidied.
        named: how it is called from here on, "" where it is not used again.
        given: whether it was given from outside.
    """

    name: str
    links: tuple[Link, ...]
    formula: Expr
    named: str = ""
    given: bool = False


@dataclass
class ChainRule:
    """All gradients on the way, from the output back.

    Attributes:
        program: what is differentiated.
        output: by name.
        given: gradients from outside, by the name of their value.
        wanted: names by which the gradient is asked for.
        gradients: by name, in the order in which they are found.
        definitions: abbreviations in the formulas (P = softmax(S)).
    """

    program: Program
    output: str
    given: dict[str, Expr]
    wanted: tuple[str, ...]
    gradients: dict[str, Gradient] = field(default_factory=dict)
    definitions: dict[str, Expr] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    _letters: dict[str, str] = field(default_factory=dict)
    _values: dict[Expr, Expr] = field(default_factory=dict)
    _on_the_way: set[str] = field(default_factory=set)
    _handed: dict[tuple[str, Expr], dict[str, Expr]] = field(default_factory=dict)

    @property
    def ends(self) -> frozenset[str]:
        """Where paths end: the output, and what has a given gradient."""
        return frozenset({self.output, *self.given})

    def differentiate(self) -> None:
        """Fill ``gradients``."""
        program = self.program
        self._taken = {*program.names, *(n for e in self.given.values() for n in symbols_of(e))}
        needed = self._on_the_way = self._needed()
        for name in reversed(list(program.values)):
            if name in needed:
                self._take(name, keep=bool(needed & set(program.read_by(name))))
        families = list(dict.fromkeys(_split(name)[0] for name in program.leaves))
        for name in sorted(program.leaves, key=lambda item: families.index(_split(item)[0])):
            if name in needed:
                self._take(name, keep=False)

    def _needed(self) -> set[str]:
        """What lies on a path from a wanted name to an end."""
        above = self.program.above(self.ends)
        return above & self.program.below(set(self.wanted), self.ends)

    def _take(self, name: str, keep: bool) -> None:
        shape = self.program.shape(name)
        if name in self.given:
            self.gradients[name] = Gradient(name, (), self.given[name], "", given=True)
            return
        links = tuple(self._links(name))
        if name == self.output:
            formula = number(1, shape)
        else:
            formula = expanded(add(*(link.part for link in links)), shape)
        named = self._named(name) if keep and not _short(formula) else ""
        self.gradients[name] = Gradient(name, links, formula, named)

    def _links(self, name: str) -> Iterable[Link]:
        shape = self.program.shape(name)
        for reader in self.program.readers[name]:
            if reader not in self.gradients:
                continue
            value = self.program.values[reader]
            upstream = self.upstream(reader)
            out = symbol(reader, value.expr.shape)
            part = self._pulled(reader, out, upstream)[name]
            local = None
            if shape == () and value.expr.shape == ():
                local = self._abbreviate(self._pulled(reader, out, number(1))[name])
            yield Link(reader, upstream, self._abbreviate(expanded(part, shape)), local)

    def _pulled(self, reader: str, out: Expr, upstream: Expr) -> dict[str, Expr]:
        """What a value hands on to all that it is made of, found once."""
        if (reader, upstream) not in self._handed:
            names = self._on_the_way.intersection(self.program.read_by(reader))
            expr = self.program.values[reader].expr
            self._handed[reader, upstream] = pull_back(expr, out, upstream, names)
        return self._handed[reader, upstream]

    def upstream(self, name: str) -> Expr:
        """The gradient by a value as later formulas write it."""
        found = self.gradients[name]
        return symbol(found.named, found.formula.shape) if found.named else found.formula

    def _named(self, name: str) -> str:
        """``dS`` for arrays; for scalars a letter for the family and the same index."""
        if self.program.shape(name):
            return self._free(f"d{name}")
        family, index = _split(name)
        if family not in self._letters:
            begun = {_split(taken)[0] for taken in self._taken} | set(self._letters.values())
            free = (letter for letter in "efghpqruvwst" if letter not in begun)
            self._letters[family] = next(free, f"d{family}")
        return self._free(self._letters[family] + index)

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _abbreviate(self, node: Expr) -> Expr:
        """Long parts by their name, where a value has one or people use one."""
        if not self._values:
            named = self.program.values.items()
            self._values = {value.expr: symbol(name, value.expr.shape) for name, value in named}
        return self._shortened(node, self._values)

    def _shortened(self, node: Expr, known: dict[Expr, Expr]) -> Expr:
        if node.kind in _ABBREVIATED:
            if node in known:
                return known[node]
            name = next((n for n, e in self.definitions.items() if e == node), None)
            if name is None:
                name = self._free(_ABBREVIATED[node.kind])
                self.definitions[name] = node
            return symbol(name, node.shape)
        if not node.args:
            return node
        args = tuple(self._shortened(item, known) for item in node.args)
        if args == node.args:
            return node
        from chainrule.derivation.expression import rebuilt

        return rebuilt(node, args)

    @cached_property
    def depths(self) -> dict[str, int]:
        """How many names of gradients stand within one another in each gradient's formula."""
        named: dict[str, int] = {}
        found: dict[str, int] = {}
        for item in self.gradients.values():
            inner = [named[n] for n in symbols_of(item.formula) if n in named]
            found[item.name] = 1 + max(inner, default=0)
            if item.named:
                named[item.named] = found[item.name]
        return found

    def in_full(self, name: str) -> Expr:
        """The gradient with the names of other gradients replaced by what they stand for."""
        named = {item.named: item.name for item in self.gradients.values() if item.named}
        formula = self.gradients[name].formula
        inner = {n: self.in_full(named[n]) for n in symbols_of(formula) if n in named}
        return substituted(formula, inner)


def _short(formula: Expr) -> bool:
    """Whether a formula is as short as a name: a number, a name, or a product with one."""
    if formula.kind == "mul" and len(formula.args) == 2:
        return formula.args[0].kind == "number" and formula.args[1].kind == "symbol"
    return formula.kind in ("number", "symbol")


def _split(name: str) -> tuple[str, str]:
    base = name.rstrip("0123456789_")
    return base, name[len(base) :]


def pull_back(node: Expr, out: Expr, upstream: Expr, wanted: set[str]) -> dict[str, Expr]:
    """The upstream gradient times the local gradient of a formula, for names in it.

    Args:
        node: the formula.
        out: a short formula for its value (its name).
        upstream: gradient by its value.
        wanted: names.

    Examples:
        >>> from chainrule.derivation.notation import text
        >>> x, h, g = symbol("x"), symbol("h"), symbol("g")
        >>> text(pull_back(Expr("tanh", (x,)), h, g, {"x"})["x"])
        'g*(1 - h^2)'
    """
    order = [item for item in _ordered(node) if wanted & set(symbols_of(item))]
    arrived: dict[Expr, list[Expr]] = {node: [expanded(upstream, node.shape)]}
    found = {name: number(0) for name in wanted}
    for item in reversed(order):
        if item not in arrived:
            continue
        gradient = add(*reversed(arrived[item]))  # they arrive from the last use to the first
        if item.kind == "symbol":
            found[item.data] = gradient
            continue
        short = out if item is node else item
        for arg, part in zip(
            item.args, OPERATIONS[item.kind].pull(item, short, gradient), strict=True
        ):
            if part is not None and arg in order and not _nothing(part):
                arrived.setdefault(arg, []).append(part)
    return found


def _nothing(part: Expr) -> bool:
    return part.kind == "number" and part.data == 0


def _ordered(node: Expr) -> list[Expr]:
    """All nodes, arguments before those that use them, each once."""
    found: dict[Expr, None] = {}

    def visit(item: Expr) -> None:
        if item in found:
            return
        for arg in item.args:
            visit(arg)
        found[item] = None

    visit(node)
    return list(found)
