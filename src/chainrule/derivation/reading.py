"""Reading: equations as text to a program of named values. Nothing in the text is executed."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

from lark import Tree

from chainrule.derivation import operations
from chainrule.derivation.expression import (
    Expr,
    Shape,
    add,
    mul,
    number,
    power,
    shape_text,
    symbol,
    symbols_of,
)
from chainrule.derivation.functions import FOLLOWS, FUNCTIONS, ROLES
from chainrule.derivation.grammar import Node, is_a, parsed, start_of
from chainrule.derivation.program import Leaf, Program, Value
from chainrule.errors import NotationError, ShapeError, suggestion

_ACTIVATIONS = frozenset(
    {"tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "softmax", "log_softmax",
     "softmax_loss", "svm_loss", "sqrt", "log"}
)  # fmt: skip
_OF_INDICES = {"plus": operator.add, "minus": operator.sub, "times": operator.mul}
_MOST = 2000  # values that a family may come to


def read(text: str) -> Program:
    """Read equations, one per line, as a program of named values.

    Args:
        text: ``name = formula`` one after the other, ``name: (N, D)`` for arrays, ``#`` for
            comments; ``z[i] = ..., i=1..3`` for several at once.

    Raises:
        NotationError: with the line and a caret.

    Examples:
        >>> program = read("z = w*x + b\\nL = (z - y)^2 / 2")
        >>> list(program.values), list(program.leaves)
        (['z', 'L'], ['w', 'x', 'b', 'y'])
    """
    if not text.strip():
        raise NotationError("equations got an empty text, wants lines such as L = (w*x - y)^2")
    return _Reader(text).program(parsed(text))


def read_formula(text: str, shapes: dict[str, Shape]) -> Expr:
    """One formula of names whose shapes are known; other names are scalars.

    Examples:
        >>> read_formula("X^T (P - Y)/N", {"X": ("N", "D"), "P": ("N", "C"), "Y": ("N", "C")}).shape
        ('D', 'C')
    """
    whole = f"result = {text}"
    reader = _Reader(whole)
    reader.leaves = {name: Leaf(name, shape) for name, shape in shapes.items()}
    reader.axes = {dim for shape in shapes.values() for dim in shape if isinstance(dim, str)}
    return reader.program(parsed(whole)).values["result"].expr


class _Reader:
    """Builds formulas from a syntax tree; knows what has been named so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: dict[str, Value] = {}
        self.leaves: dict[str, Leaf] = {}
        self.defined: dict[str, int] = {}
        self.axes: set[str] = set()
        self.own: set[str] = set()  # names that we gave

    def program(self, tree: Node) -> Program:
        statements = [item.children[0] for item in tree.children if isinstance(item, Tree)]
        equations = [item for item in statements if item.data == "equation"]
        if not equations:
            raise NotationError("equations: nothing is defined, wants a line such as L = w*x")
        for item in statements:
            if item.data == "declaration":
                self._declare(item)
        for item in equations:
            for name, _ in self._targets(item.children[0], item.children[-1]):
                if name in self.defined:
                    raise self._error(f"{name} is defined twice", item)
                self.defined[name] = item.meta.start_pos
        for item in equations:
            self._define(item)
        return Program(self.text, self.values, self.leaves)

    # -- statements

    def _declare(self, item: Node) -> None:
        targets = [child for child in item.children if is_a(child, "target")]
        shape = tuple(self._dim(child) for child in item.children if is_a(child, "dim"))
        for target in targets:
            for name, _ in self._targets(target, item.children[-1]):
                self.leaves[name] = Leaf(name, shape)

    def _dim(self, item: Node) -> int | str:
        token = item.children[0]
        if token.type == "NUMBER":
            if not token.isdigit() or int(token) < 1:
                raise self._error("an axis wants a whole size from 1, or a name", item)
            return int(token)
        self.axes.add(str(token))
        return str(token)

    def _targets(self, target: Any, ranges: Any) -> Iterator[tuple[str, dict[str, int]]]:
        for indices in self._each(ranges, {}):
            yield self._name(target, indices), indices

    def _each(self, ranges: Any, known: dict[str, int]) -> Iterator[dict[str, int]]:
        items = [item for item in ranges.children if is_a(item, "range")]
        spans = []
        for item in items:
            low, high = (self._whole(child, known) for child in item.children[1:])
            if high < low:
                raise self._error(f"range {low}..{high} is empty", item)
            if high - low >= _MOST:
                raise self._error(f"range {low}..{high} is longer than {_MOST}", item)
            spans.append([(str(item.children[0]), k) for k in range(low, high + 1)])
        for choice in product(*spans):
            yield {**known, **dict(choice)}

    def _define(self, item: Node) -> None:
        target, expr, ranges = item.children
        family = str(target.children[0]) if len(target.children) > 1 else ""
        for name, indices in self._targets(target, ranges):
            formula = self._build(expr, indices)
            if name in self.leaves and name not in self.values:
                declared = self.leaves.pop(name)
                if declared.shape != formula.shape:
                    raise self._error(
                        f"{name} is declared {shape_text(declared.shape)}, its formula gives "
                        f"{shape_text(formula.shape)}", item,
                    )  # fmt: skip
            for value in self._split(name, formula, family):
                self.values[value.name] = value

    def _split(self, name: str, formula: Expr, family: str) -> Iterator[Value]:
        """The value, after its pre-activation as a value of its own where that is long."""
        inner = formula.args[0] if formula.kind in _ACTIVATIONS else None
        if inner is not None and _long(inner):
            own = self._fresh(name)
            yield Value(own, inner, family)
            formula = operations.applied(formula, symbol(own, inner.shape))
        yield Value(name, formula, family)

    def _fresh(self, name: str) -> str:
        """A free name for what goes into a value: the same index, another letter."""
        base = name.rstrip("0123456789_")
        known = {*self.leaves, *self.values, *self.defined}
        begun = {item.rstrip("0123456789_") for item in known - self.own}
        letter = next((item for item in "azuqst" if item not in begun), f"in_{base}")
        made = letter + name[len(base) :]
        while made in known:
            made += "_"
        self.own.add(made)
        return made

    def _name(self, item: Node, indices: dict[str, int]) -> str:
        name = str(item.children[0])
        if len(item.children) == 1:
            return name
        numbers = [self._whole(child, indices) for child in item.children[1].children]
        single = all(0 <= k < 10 for k in numbers)
        return name + ("" if single else "_").join(map(str, numbers))

    def _whole(self, item: Any, indices: dict[str, int]) -> int:
        """An index: arithmetic of whole numbers and running indices."""
        if is_a(item, "name") and len(item.children) == 1 and str(item.children[0]) in indices:
            return indices[str(item.children[0])]
        if is_a(item, "number") and str(item.children[0]).isdigit():
            return int(item.children[0])
        if isinstance(item, Tree) and item.data in _OF_INDICES:
            left, right = (self._whole(child, indices) for child in item.children)
            return int(_OF_INDICES[item.data](left, right))
        if is_a(item, "negative"):
            return -self._whole(item.children[0], indices)
        raise self._error("an index wants whole numbers and running indices (i, i+1)", item)

    # -- formulas

    def _build(self, item: Any, indices: dict[str, int]) -> Expr:
        try:
            build = self._name_of if item.data == "name" else getattr(self, f"_{item.data}")
            made: Expr = build(item, indices)
        except ShapeError as error:
            raise self._error(str(error), item) from None
        return made

    def _both(self, item: Node, indices: dict[str, int]) -> list[Expr]:
        return [self._build(child, indices) for child in item.children if isinstance(child, Tree)]

    def _number(self, item: Node, indices: dict[str, int]) -> Expr:
        return number(Fraction(str(item.children[0])))

    def _name_of(self, item: Node, indices: dict[str, int]) -> Expr:
        name = str(item.children[0])
        if len(item.children) == 1 and name in indices:
            return number(indices[name])
        if len(item.children) == 2 and (name in self.leaves or name in self.values):
            return self._element(item, name, indices)
        return self._symbol(self._name(item, indices), item)

    def _element(self, item: Node, name: str, indices: dict[str, int]) -> Expr:
        """One element of an array, counted from 1."""
        whole = self._symbol(name, item)
        places = tuple(self._whole(child, indices) for child in item.children[1].children)
        if len(places) != len(whole.shape):
            raise self._error(f"{name} has shape {shape_text(whole.shape)}", item)
        for place, dim in zip(places, whole.shape, strict=True):
            if place < 1 or (isinstance(dim, int) and place > dim):
                raise self._error(f"index {place} of {name} is outside of 1..{dim}", item)
        return operations.element(whole, places)

    def _symbol(self, name: str, item: Any) -> Expr:
        if name in self.values:
            return symbol(name, self.values[name].expr.shape)
        if name in self.defined:
            line = self.text.count("\n", 0, self.defined[name]) + 1
            raise self._error(
                f"{name} is used before line {line} defines it, or needs itself: every line reads "
                "those above it only", item,
            )  # fmt: skip
        if name not in self.leaves and name in self.axes:
            return Expr("dim", (), (), name)
        leaf = self.leaves.setdefault(name, Leaf(name, ()))
        return symbol(name, leaf.shape)

    def _plus(self, item: Node, indices: dict[str, int]) -> Expr:
        left, right = self._both(item, indices)
        return left + right

    def _minus(self, item: Node, indices: dict[str, int]) -> Expr:
        left, right = self._both(item, indices)
        return left - right

    def _times(self, item: Node, indices: dict[str, int]) -> Expr:
        left, right = self._both(item, indices)
        return left * right

    def _over(self, item: Node, indices: dict[str, int]) -> Expr:
        left, right = self._both(item, indices)
        if right == number(0):
            raise self._error("division by 0", item)
        return left / right

    def _negative(self, item: Node, indices: dict[str, int]) -> Expr:
        return -self._both(item, indices)[0]

    def _raise_to(self, item: Node, indices: dict[str, int]) -> Expr:
        base, exponent = self._both(item, indices)
        return power(base, exponent)

    def _transpose(self, item: Node, indices: dict[str, int]) -> Expr:
        return operations.transposed(self._both(item, indices)[0])

    def _beside(self, item: Node, indices: dict[str, int]) -> Expr:
        """Written side by side: a matrix product of arrays, else a product."""
        left, right = self._both(item, indices)
        return self._product(left, right, item) if left.shape and right.shape else mul(left, right)

    def _matmul(self, item: Node, indices: dict[str, int]) -> Expr:
        left, right = self._both(item, indices)
        return self._product(left, right, item)

    def _product(self, left: Expr, right: Expr, item: Any) -> Expr:
        shapes = f"{shape_text(left.shape)} and {shape_text(right.shape)}"
        if not left.shape or not right.shape:
            raise self._error(
                f"'@' wants vectors or matrices, got {shapes}: declare shapes, X: (N, D)", item
            )
        if left.shape[-1] != right.shape[0] or max(len(left.shape), len(right.shape)) > 2:
            raise self._error(f"shapes {shapes} do not match in a matrix product", item)
        return operations.matmul(left, right)

    def _indicator(self, item: Node, indices: dict[str, int]) -> Expr:
        conditions = [child for child in item.children if is_a(child, "condition")]
        return operations.both([self._condition(child, indices) for child in conditions])

    def _condition(self, item: Node, indices: dict[str, int]) -> Expr:
        left, relation, right = item.children
        return operations.condition(
            self._build(left, indices), str(relation), self._build(right, indices)
        )

    def _call(self, item: Node, indices: dict[str, int]) -> Expr:
        name, *given = item.children
        if str(name) not in FUNCTIONS:
            return self._called_name(item, indices)
        ranges = [child for child in given if is_a(child, "range")]
        if ranges:
            return self._running_sum(item, indices)
        options = {
            str(child.children[0]): self._build(child.children[1], indices)
            for child in given
            if is_a(child, "option")
        }
        function = FUNCTIONS[str(name)]
        for key in options:
            if key not in function.options:
                wants = ", ".join(function.options) or "none"
                raise self._error(f"{name} has no option {key}; options: {wants}", item)
        plain = [child for child in given if not is_a(child, "option")]
        if not function.least <= len(plain) <= function.most:
            raise self._error(f"{name} got {len(plain)} arguments, wants {function.least}", item)
        return function.build(self._arguments(str(name), plain, indices), options)

    def _arguments(self, name: str, given: list[Any], indices: dict[str, int]) -> list[Expr]:
        made: list[Expr] = []
        for place, child in enumerate(given):
            fresh = is_a(child, "name") and self._unknown(child, indices)
            if fresh and (name, place) in (FOLLOWS.keys() | ROLES.keys()):
                follows = FOLLOWS.get((name, place))
                shape = follows(made[0]) if follows is not None else ()
                role = ROLES.get((name, place), "")
                self.leaves[fresh] = Leaf(fresh, shape, role)
            made.append(self._build(child, indices))
            if (name, place) in ROLES and made[-1].kind == "symbol":
                self._play(made[-1].data, ROLES[name, place])
        return made

    def _play(self, name: str, role: str) -> None:
        """What a leaf is for, told by its use."""
        if name in self.leaves:
            self.leaves[name] = Leaf(name, self.leaves[name].shape, role)

    def _unknown(self, item: Node, indices: dict[str, int]) -> str:
        name = self._name(item, indices)
        known = {*self.leaves, *self.values, *self.defined, *indices, *self.axes}
        return "" if name in known else name

    def _called_name(self, item: Node, indices: dict[str, int]) -> Expr:
        """``a (b + c)``: a product, where a is a name that is known."""
        name, *given = item.children
        known = str(name) in self.leaves or str(name) in self.values or str(name) in self.axes
        if not known or len(given) != 1:
            raise self._error(
                f"there is no rule for a function '{name}'{suggestion(str(name), FUNCTIONS)}; "
                f"functions: {', '.join(sorted(FUNCTIONS))}", item,
            )  # fmt: skip
        left, right = self._symbol(str(name), item), self._build(given[0], indices)
        return self._product(left, right, item) if left.shape and right.shape else mul(left, right)

    def _running_sum(self, item: Node, indices: dict[str, int]) -> Expr:
        name, *given = item.children
        ranges = Tree("ranges", [child for child in given if is_a(child, "range")])
        terms = [child for child in given if not is_a(child, "range")]
        if str(name) != "sum" or len(terms) != 1:
            raise self._error(f"{name} takes no running index; sum(x[j], j=1..3) does", item)
        made = [self._build(terms[0], known) for known in self._each(ranges, indices)]
        return add(*made)

    def _error(self, message: str, item: Any) -> NotationError:
        return NotationError(f"equations: {message}", self.text, start_of(item))


def _long(formula: Expr) -> bool:
    """Whether people would give a formula a name before they go on."""
    return formula.kind not in ("symbol", "number") and (
        len(symbols_of(formula)) > 2 or any(item.shape for item in formula.args)
    )
