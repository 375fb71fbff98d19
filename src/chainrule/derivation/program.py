"""Program: named values, each made from those before it; who reads whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from chainrule.derivation.expression import Expr, Shape, symbols_of


@dataclass(frozen=True)
class Leaf:
    """A name that no equation defines.

    Attributes:
        name: as it is written.
        shape: its axes.
        role: "labels" (whole numbers from 0), "mask" (0 or 1), "probability", "" for numbers.
    """

    name: str
    shape: Shape
    role: str = ""


@dataclass(frozen=True)
class Value:
    """A named value.

    Attributes:
        name: as it is written.
        expr: its formula, of names above it.
        family: the name without its index, where several are defined at once.
        layer: the layer of a network that makes it, "" without one.
    """

    name: str
    expr: Expr
    family: str = ""
    layer: str = ""


@dataclass(frozen=True)
class Program:
    """Values in the order in which they are computed.

    Attributes:
        text: what it was read from.
        values: by name, in order.
        leaves: by name.
    """

    text: str
    values: dict[str, Value]
    leaves: dict[str, Leaf]

    @cached_property
    def readers(self) -> dict[str, tuple[str, ...]]:
        """For every name the values whose formulas read it, in order."""
        found: dict[str, list[str]] = {name: [] for name in (*self.leaves, *self.values)}
        for value in self.values.values():
            for name in symbols_of(value.expr):
                found[name].append(value.name)
        return {name: tuple(items) for name, items in found.items()}

    def shape(self, name: str) -> Shape:
        return self.values[name].expr.shape if name in self.values else self.leaves[name].shape

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.leaves, *self.values)

    @property
    def output(self) -> str:
        """The last value, which is differentiated."""
        return list(self.values)[-1]

    def paths(self, name: str, ends: frozenset[str], most: int) -> list[tuple[str, ...]]:
        """Ways from a name to one of ``ends``, at most so many."""
        return list(islice(self._paths(name, ends, self.above(ends)), most))

    def _paths(self, name: str, ends: frozenset[str], above: set[str]) -> Iterator[tuple[str, ...]]:
        if name in ends:
            yield (name,)
            return
        for reader in self.readers[name]:
            if reader in above:
                for rest in self._paths(reader, ends, above):
                    yield (name, *rest)

    def count_paths(self, ends: frozenset[str]) -> dict[str, int]:
        """How many ways lead from each name to one of ``ends``."""
        counts: dict[str, int] = {}
        for name in (*reversed(self.values), *self.leaves):
            inner = sum(counts.get(reader, 0) for reader in self.readers[name])
            counts[name] = 1 if name in ends else inner
        return counts

    def read_by(self, name: str) -> tuple[str, ...]:
        """Names that a value is made of: to whom its gradient is handed on."""
        return symbols_of(self.values[name].expr)

    def above(self, ends: frozenset[str]) -> set[str]:
        """All names from which one of ``ends`` can be reached, these included."""
        found = set(ends)
        for value in reversed(self.values.values()):
            if value.name in found:
                found.update(symbols_of(value.expr))
        return found

    def below(self, starts: set[str], ends: frozenset[str] = frozenset()) -> set[str]:
        """All values that depend on one of ``starts``, these included; not by way of ``ends``."""
        found, passing = set(starts), set(starts) - ends
        for value in self.values.values():
            if passing.intersection(symbols_of(value.expr)):
                found.add(value.name)
                if value.name not in ends:
                    passing.add(value.name)
        return found
