"""Running: the values of a program and of its gradients at a point, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.derivation.chain_rule import ChainRule
from chainrule.derivation.expression import Expr, Shape, option, shape_text
from chainrule.derivation.operations import concrete, evaluate
from chainrule.derivation.program import Leaf, Program
from chainrule.errors import ShapeError

Point = dict[str, Tensor]
_SIZES = (3, 4, 2, 5, 6, 7, 8, 9, 11, 12)  # different ones, so that no two axes can be mixed up


@dataclass
class Running:
    """A program that is run at points.

    Attributes:
        rule: its gradients.
        axes: sizes of named axes.
        given: values of symbols in given gradients.
    """

    rule: ChainRule
    axes: dict[str, int]
    given: Point = field(default_factory=dict)

    @property
    def program(self) -> Program:
        return self.rule.program

    def values(self, point: Point, instead: Mapping[str, Tensor] | None = None) -> Point:
        """All values at a point; a value in ``instead`` is taken as it stands there."""
        known = {**point, **{k: v for k, v in (instead or {}).items() if k in point}}
        for name, value in self.program.values.items():
            if instead is not None and name in instead:
                known[name] = instead[name]
            else:
                known[name] = evaluate(value.expr, known, self.axes)
        return known

    def gradients(self, known: Point) -> Point:
        """All gradients by their formulas, as they are printed."""
        known = {**known, **self.given}
        found: Point = {}
        for name, formula in self.rule.definitions.items():
            known[name] = evaluate(formula, known, self.axes)
        for item in self.rule.gradients.values():
            found[item.name] = evaluate(item.formula, known, self.axes)
            if item.named:
                known[item.named] = found[item.name]
        return found

    def objective(self, point: Point, instead: Mapping[str, Tensor]) -> Tensor:
        """The output; with given gradients, ``sum(given * value)`` besides, paths cut there."""
        return self.followed(point, instead)[0]

    def followed(self, point: Point, instead: Mapping[str, Tensor]) -> tuple[Tensor, Point]:
        """The objective, and every value that it was computed by."""
        known = {**point, **{k: v for k, v in instead.items() if k in point}}
        plain = {name: item.detach() for name, item in point.items()}
        still = self.values(plain) if self.rule.given else {}
        made_of = dict(known)
        total = torch.zeros((), dtype=torch.float64)
        for name, value in self.program.values.items():
            made = instead[name] if name in instead else evaluate(value.expr, known, self.axes)
            made = made.clone() if value.expr.kind == "symbol" else made  # not the same tensor
            made_of[name] = made
            if name in self.rule.given:
                weight = evaluate(self.rule.given[name], self.given, self.axes)
                total = total + (weight * made).sum()
                made = still[name]  # those that read it see no change
            elif name == self.rule.output:
                total = total + made.sum()
            known[name] = made
        return total, made_of

    def pieces(self, known: Point) -> list[Tensor]:
        """On which side of every kink a point lies."""
        found: list[Tensor] = []
        for value in self.program.values.values():
            memo: dict[Expr, Tensor] = {}
            evaluate(value.expr, known, self.axes, memo)
            for node in memo:
                if node.kind in _SIDES:
                    args = [evaluate(item, known, self.axes, memo) for item in node.args]
                    found += _SIDES[node.kind](args, node)
        return found


def _sign_of_first(args: list[Tensor], _node: Expr) -> list[Tensor]:
    return [torch.sign(args[0])]


def _order(args: list[Tensor], _node: Expr) -> list[Tensor]:
    return [torch.sign(a - b) for k, a in enumerate(args) for b in args[:k]]


def _conditions(args: list[Tensor], node: Expr) -> list[Tensor]:
    return [torch.sign(args[2 * k] - args[2 * k + 1]) for k in range(len(node.data))]


def _winners(args: list[Tensor], node: Expr) -> list[Tensor]:
    pool = F.max_pool1d if node.kind.endswith("1d") else F.max_pool2d
    rank = 1 if node.kind.endswith("1d") else 2
    x = args[0][None, None] if args[0].dim() == rank else args[0]
    options = (option(node, "window"), option(node, "stride"))
    return [pool(x, *options, return_indices=True)[1]]


def _margin_signs(args: list[Tensor], _node: Expr) -> list[Tensor]:
    scores, labels = args[0].reshape(-1, args[0].shape[-1]), args[1].reshape(-1, 1).long()
    return [torch.sign(scores - scores.gather(1, labels) + 1)]


_SIDES = {
    "relu": _sign_of_first, "leaky_relu": _sign_of_first, "elu": _sign_of_first,
    "abs": _sign_of_first, "sign": _sign_of_first, "max": _order, "min": _order,
    "indicator": _conditions, "maxpool1d": _winners, "maxpool2d": _winners,
    "svm_loss": _margin_signs,
}  # fmt: skip


def axis_sizes(program: Program, given: Mapping[str, Tensor]) -> dict[str, int]:
    """Sizes for all named axes: those of given arrays, and different small numbers for others.

    Raises:
        ShapeError: a given array does not have the shape that the equations want.
    """
    axes: dict[str, int] = {}
    for name, value in given.items():
        shape = program.shape(name)
        if len(shape) != value.dim():
            raise ShapeError(_mismatch(name, value, shape))
        for dim, count in zip(shape, value.shape, strict=True):
            if (dim if isinstance(dim, int) else axes.setdefault(dim, count)) != count:
                raise ShapeError(_mismatch(name, value, shape))
    taken = set(axes.values())
    free = [k for k in _SIZES if k not in taken]
    for name in program.names:
        for dim in program.shape(name):
            if isinstance(dim, str) and dim not in axes:
                axes[dim] = free.pop(0) if free else 3
    return axes


def _mismatch(name: str, value: Tensor, shape: Shape) -> str:
    return f"values: {name} got shape {tuple(value.shape)}, the equations want {shape_text(shape)}"


def draw(running: Running, generator: torch.Generator, way: str) -> Point:
    """A random point: ``way`` "normal", "positive" or "unit" (between 0 and 1)."""
    classes = _classes(running.program, running.axes)
    return {
        name: _drawn(leaf, concrete(leaf.shape, running.axes), generator, way, classes)
        for name, leaf in running.program.leaves.items()
    }


def _drawn(
    leaf: Leaf,
    shape: tuple[int, ...],
    generator: torch.Generator,
    way: str,
    classes: Mapping[str, int],
) -> Tensor:
    made = torch.randn(shape, generator=generator, dtype=torch.float64)
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    if leaf.role == "labels":
        return (uniform * classes.get(leaf.name, 2)).floor()
    if leaf.role == "mask":
        return (uniform > 0.4).double()
    if leaf.role == "probability" or way == "unit":
        return 0.1 + 0.8 * uniform
    return made.abs() + 0.1 if way == "positive" else made


def _classes(program: Program, axes: Mapping[str, int]) -> dict[str, int]:
    """How many classes each leaf of labels has."""
    found: dict[str, int] = {}
    waiting = [value.expr for value in program.values.values()]
    while waiting:
        node = waiting.pop()
        waiting += node.args
        if node.kind in ("softmax_loss", "svm_loss") and node.args[1].kind == "symbol":
            count = node.args[0].shape[-1]
            found[node.args[1].data] = axes[count] if isinstance(count, str) else count
    return found


def finite(values: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(item).all()) for item in values.values())


def size_of(value: Tensor) -> float:
    return max(1.0, float(value.abs().max())) if value.numel() else 1.0


def far_apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the larger of 1 and the values."""
    if a.shape != b.shape or not bool(torch.isfinite(a).all()):
        return math.inf
    gap = float((a - b).abs().max()) if a.numel() else 0.0
    return gap / max(size_of(a), size_of(b)) if math.isfinite(gap) else math.inf
