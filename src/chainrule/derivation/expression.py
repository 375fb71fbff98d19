"""Expression: formulas as small trees that can be printed, evaluated and built without clutter.

A node knows the shape of its value; axes have a size or a name (``N``). The constructors ``add``
and ``mul`` collect like terms and powers as a person would, and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from chainrule.errors import ShapeError

_MOST_BITS = 4096  # of a power of numbers that is written out

Dim = int | str
Shape = tuple[Dim, ...]


@dataclass(frozen=True, eq=True)
class Expr:
    """One operation with its arguments.

    Attributes:
        kind: "number", "symbol", "dim" (size of a named axis), "add", "mul", "power", or the name
            of an operation in ``operations.OPERATIONS``.
        args: what it is applied to.
        shape: axes of its value, () for a scalar.
        data: the number, the name, or the operation's options.
    """

    kind: str
    args: tuple[Expr, ...] = ()
    shape: Shape = ()
    data: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.kind, self.args, self.shape, self.data)))

    def __hash__(self) -> int:  # trees are compared often: once is enough
        return int(self._hash)  # type: ignore[attr-defined]

    def __add__(self, other: Expr) -> Expr:
        return add(self, other)

    def __sub__(self, other: Expr) -> Expr:
        return add(self, mul(number(-1), other))

    def __mul__(self, other: Expr) -> Expr:
        return mul(self, other)

    def __truediv__(self, other: Expr) -> Expr:
        return mul(self, power(other, number(-1)))

    def __neg__(self) -> Expr:
        return mul(number(-1), self)


def number(value: int | Fraction, shape: Shape = ()) -> Expr:
    return Expr("number", (), shape, Fraction(value))


def symbol(name: str, shape: Shape = ()) -> Expr:
    return Expr("symbol", (), shape, name)


def size(dim: Dim) -> Expr:
    """The size of an axis as a number in a formula."""
    return number(dim) if isinstance(dim, int) else Expr("dim", (), (), dim)


def sizes(dims: Iterable[Dim]) -> Expr:
    return mul(number(1), *(size(dim) for dim in dims))


def call(kind: str, *args: Expr, shape: Shape, **options: Any) -> Expr:
    """An operation of the table, with options."""
    return Expr(kind, args, shape, tuple(sorted(options.items())))


def option(node: Expr, name: str) -> Any:
    return dict(node.data)[name]


def symbols_of(node: Expr) -> tuple[str, ...]:
    """Names in a formula, in order of appearance, each once."""
    known: tuple[str, ...] | None = getattr(node, "_symbols", None)
    if known is None:
        own = (node.data,) if node.kind == "symbol" else ()
        inner = (name for item in node.args for name in symbols_of(item))
        known = tuple(dict.fromkeys((*own, *inner)))
        object.__setattr__(node, "_symbols", known)  # asked for again and again
    return known


def substituted(node: Expr, names: dict[str, Expr]) -> Expr:
    """The formula with symbols replaced by formulas of the same shape."""
    if node.kind == "symbol":
        return names.get(node.data, node)
    if not node.args:
        return node
    args = tuple(substituted(item, names) for item in node.args)
    return node if args == node.args else rebuilt(node, args)


def rebuilt(node: Expr, args: tuple[Expr, ...]) -> Expr:
    """The same operation on other arguments of the same shapes, tidied again."""
    from chainrule.derivation.operations import tidied

    makers = {"add": add, "mul": mul}
    if node.kind in makers:
        return makers[node.kind](*args)
    if node.kind == "power":
        return power(*args)
    return tidied(Expr(node.kind, args, node.shape, node.data))


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape of elementwise operations: axes are matched from the right; 1 goes with any.

    Raises:
        ShapeError: two axes differ.

    Examples:
        >>> broadcast([("N", "C"), ("C",), ()])
        ('N', 'C')
    """
    rank = max((len(shape) for shape in shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(_common(column, shapes) for column in zip(*padded, strict=True))


def _common(column: tuple[Dim, ...], shapes: Sequence[Shape]) -> Dim:
    wanted = {dim for dim in column if dim != 1}
    if len(wanted) > 1:
        known = " and ".join(shape_text(shape) for shape in dict.fromkeys(shapes) if shape)
        raise ShapeError(f"shapes {known} do not match")
    return wanted.pop() if wanted else 1


def shape_text(shape: Shape) -> str:
    """A shape as it is written: ``(N, D)``; ``()`` for a scalar."""
    return f"({', '.join(map(str, shape))})"


def expanded(node: Expr, shape: Shape) -> Expr:
    """The same value repeated along axes that it lacks or where it has size 1."""
    if node.shape == shape:
        return node
    if node.kind == "number":
        return number(node.data, shape)
    return call("expand", node, shape=shape)


# -- products ------------------------------------------------------------------------------


def mul(*factors: Expr) -> Expr:
    """The product, element by element: numbers first, equal bases as one power."""
    shape = broadcast([item.shape for item in factors])
    coefficient = Fraction(1)
    powers: dict[Expr, Expr] = {}
    for base, exponent in _factors(factors):
        if base.kind == "number":
            coefficient *= Fraction(base.data) ** int(exponent.data)
        else:
            powers[base] = add(powers[base], exponent) if base in powers else exponent
    if coefficient == 0:
        return number(0, shape)
    items = [power(base, exponent) for base, exponent in powers.items()]
    items = [item for item in items if item != number(1)]
    items = _without_expansions(items, shape)
    return expanded(_product(coefficient, items), shape)


def _factors(factors: Iterable[Expr]) -> Iterable[tuple[Expr, Expr]]:
    """Bases with their exponents; nested products opened, indicators to the first power."""
    for item in factors:
        if item.kind == "mul":
            yield from _factors(item.args)
        elif item.kind == "number" and item.shape != ():
            yield number(item.data), number(1)
        elif item.kind == "power" and _number(item.args[1]) and not _open(item.args[0]):
            yield item.args[0], item.args[1]
        elif item.kind == "power" and item.args[1].kind == "number" and _open(item.args[0]):
            inner = item.args[0].args if item.args[0].kind == "mul" else (item.args[0],)
            for base, exponent in _factors(inner):
                yield base, mul(exponent, item.args[1])
        else:
            yield item, number(1)


def _number(node: Expr) -> bool:
    return node.kind == "number"


def _open(node: Expr) -> bool:
    """Whether a power of it is opened: a product, or a number."""
    return node.kind in ("mul", "number")


def _without_expansions(items: list[Expr], shape: Shape) -> list[Expr]:
    """Repetition left out where another factor has the whole shape anyway."""
    kept = list(items)
    for place, item in enumerate(items):
        if item.kind == "expand":
            tried = [*kept[:place], item.args[0], *kept[place + 1 :]]
            if broadcast([other.shape for other in tried]) == shape:
                kept = tried
    return kept


def _product(coefficient: Fraction, items: list[Expr]) -> Expr:
    items = [part for item in items for part in (item.args if item.kind == "mul" else (item,))]
    numbers = [item for item in items if item.kind == "number"]
    for item in numbers:
        coefficient *= item.data
    items = sorted((item for item in items if item.kind != "number"), key=lambda e: e.shape != ())
    if not items:
        return number(coefficient)
    sums = [item for item in items if item.kind == "add"]
    if coefficient == -1 and len(sums) == 1:  # -(a - b) is b - a
        turned = add(*(mul(number(-1), term) for term in sums[0].args))
        items = [turned if item is sums[0] else item for item in items]
        coefficient = Fraction(1)
    if coefficient == 1:
        return items[0] if len(items) == 1 else _made("mul", items)
    return _made("mul", [number(coefficient), *items])


def _made(kind: str, items: list[Expr]) -> Expr:
    return Expr(kind, tuple(items), broadcast([item.shape for item in items]))


def power(base: Expr, exponent: Expr) -> Expr:
    """The power; of a power, of a product with a number as exponent, and of 1 and 0, simpler."""
    if exponent == number(1):
        return base
    if exponent == number(0):
        return number(1, base.shape)
    if base.kind == "indicator" and _number(exponent) and exponent.data > 0:
        return base
    if base.kind == "number" and _whole(exponent) and _bounded(base, exponent):
        return number(base.data ** int(exponent.data), base.shape)
    if base.kind == "power" and _whole(base.args[1]) and _whole(exponent):
        return power(base.args[0], mul(base.args[1], exponent))
    if base.kind == "mul" and _whole(exponent):
        return mul(*(power(item, exponent) for item in base.args))
    if base.kind == "sqrt" and exponent == number(2):
        return base.args[0]
    return Expr("power", (base, exponent), broadcast([base.shape, exponent.shape]))


def _bounded(base: Expr, exponent: Expr) -> bool:
    """Whether the power is a number that can be written out: not 1/0, and not 9^9^9^9."""
    digits = max(base.data.numerator.bit_length(), base.data.denominator.bit_length())
    exists = bool(base.data or exponent.data > 0)
    return exists and digits * abs(exponent.data) <= _MOST_BITS


def _whole(node: Expr) -> bool:
    return node.kind == "number" and node.data.denominator == 1


# -- sums ----------------------------------------------------------------------------------


def add(*terms: Expr) -> Expr:
    """The sum; like terms are collected."""
    shape = broadcast([item.shape for item in terms])
    constant = Fraction(0)
    found: dict[Expr, Fraction] = {}
    for coefficient, rest in _terms(terms):
        if rest is None:
            constant += coefficient
        else:
            found[rest] = found.get(rest, Fraction(0)) + coefficient
    items = [mul(number(c), rest) for rest, c in found.items() if c]
    items = _positive_first(items)
    if constant and _last(items):
        items.append(number(constant))
    elif constant:
        items.insert(0, number(constant))
    if not items:
        return number(0, shape)
    made = items[0] if len(items) == 1 else _made("add", items)
    return expanded(made, shape)


def _last(items: list[Expr]) -> bool:
    """Whether a constant stands better behind: unless the first term is subtracted."""
    return bool(items) and not _negative(items[0])


def _terms(terms: Iterable[Expr]) -> Iterable[tuple[Fraction, Expr | None]]:
    for item in terms:
        if item.kind == "add":
            yield from _terms(item.args)
        elif item.kind == "number":
            yield item.data, None
        elif item.kind == "mul" and item.args[0].kind == "number":
            rest = item.args[1:]
            yield item.args[0].data, rest[0] if len(rest) == 1 else _made("mul", list(rest))
        else:
            yield Fraction(1), item


def _positive_first(items: list[Expr]) -> list[Expr]:
    first = next((item for item in items if not _negative(item)), None)
    if first is None or first is items[0]:
        return items
    return [first, *(item for item in items if item is not first)]


def _negative(item: Expr) -> bool:
    lead = item.args[0] if item.kind == "mul" else item
    return bool(lead.kind == "number" and lead.data < 0)
