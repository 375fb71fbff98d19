"""Proof: a derivation compared with autograd and with central differences.

At random points, and on each side of kinks: between two points on different sides a kink is
closed in on until its two sides are a billionth of the way apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from chainrule.answer import Answer
from chainrule.derivation.chain_rule import ChainRule
from chainrule.derivation.expression import symbols_of
from chainrule.derivation.running import (
    Point,
    Running,
    axis_sizes,
    draw,
    far_apart,
    finite,
)
from chainrule.errors import DerivationError, GradientError

_POINTS = 5
_PAIRS = 12  # pairs of points between which a kink is looked for
_NAMES = 40  # of which central differences are taken at one point
_SIDES = 6  # points beside kinks at most
_EXACT = 1e-9  # formula and autograd, both in float64
_CLOSE = 1e-5  # formula and central differences


@dataclass(frozen=True)
class DerivationProof(Answer):
    """How the formulas were shown to be right.

    Attributes:
        points: random points at which all gradients were compared.
        beside_kinks: further points, each a hair beside a kink.
        largest_difference: between formulas and autograd, relative to the larger of 1 and the
            gradient.
        largest_difference_to_differences: between formulas and central differences, likewise.
        compared: numbers compared with autograd.
        axes: sizes that named axes had.
    """

    points: int
    beside_kinks: int
    largest_difference: float
    largest_difference_to_differences: float
    compared: int
    axes: dict[str, int]


def prove(rule: ChainRule, seed: int = 0) -> DerivationProof:
    """Compare all gradients with autograd and central differences.

    Raises:
        GradientError: no point was found at which everything is finite.
        DerivationError: a formula differs; it must not be shown.
    """
    running = Running(rule, axis_sizes(rule.program, {}))
    generator = torch.Generator().manual_seed(seed)
    running.given = _given(running, generator)
    way, points = _points(running, generator)
    exact, close, compared = 0.0, 0.0, 0
    for point in points:
        gap, count = _against_autograd(running, point)
        exact, compared = max(exact, gap), compared + count
        close = max(close, _against_differences(running, point, generator))
    sides = 0
    for point in _beside_kinks(running, generator, way):
        gap, count = _against_autograd(running, point)
        exact, compared, sides = max(exact, gap), compared + count, sides + 1
    return DerivationProof(len(points), sides, exact, close, compared, running.axes)


def _given(running: Running, generator: torch.Generator) -> Point:
    """Values for the symbols in given gradients."""
    found: Point = {}
    for name, formula in running.rule.given.items():
        for item in symbols_of(formula):
            shape = running.program.shape(name)
            sizes = [running.axes[d] if isinstance(d, str) else d for d in shape]
            found[item] = torch.randn(sizes, generator=generator, dtype=torch.float64)
    return found


def _points(running: Running, generator: torch.Generator) -> tuple[str, list[Point]]:
    """Random points where all values and gradients are finite, and how they were drawn."""
    for way in ("normal", "positive", "unit"):
        found = []
        for _ in range(4 * _POINTS):
            point = draw(running, generator, way)
            known = running.values(point)
            if finite(known) and finite(running.gradients(known)):
                found.append(point)
            if len(found) == _POINTS:
                return way, found
    raise GradientError(
        "equations: no point was found where all values are finite (a logarithm, root or quotient "
        "out of its domain?); nothing can be proved"
    )


def _against_autograd(running: Running, point: Point) -> tuple[float, int]:
    """Largest relative difference of formulas and autograd, and how many numbers were compared."""
    rule = running.rule
    worst, compared = 0.0, 0
    formulas = running.gradients(running.values(point))
    wanted = _autograd(running, point, list(formulas))
    for name, formula in formulas.items():
        found = wanted[name]
        gap = far_apart(formula, found)
        if gap > _EXACT and _tied(running, point):
            raise GradientError(
                "equations: max or min of two values that are equal at a random point has no "
                "gradient there: leave one of them out"
            )
        if gap > _EXACT:
            raise DerivationError(
                f"the formula for the gradient by {name} failed its proof: it differs from "
                f"autograd by {gap:.1e} at a random point, so it is not shown; please report "
                f"these equations ({rule.program.text.splitlines()[0][:60]} ...)"
            )
        worst, compared = max(worst, gap), compared + found.numel()
    return worst, compared


def _tied(running: Running, point: Point) -> bool:
    """Whether a point, drawn at random, lies right on a kink."""
    return any(bool((piece == 0).any()) for piece in running.pieces(running.values(point)))


def _autograd(running: Running, point: Point, names: list[str]) -> Point:
    """Gradients by all names from one backward pass."""
    live = {name: value.detach().clone().requires_grad_() for name, value in point.items()}
    outcome, followed = running.followed(live, {})
    tensors = [followed[name] for name in names]
    found: list[torch.Tensor | None] = [None] * len(names)
    usable = [k for k, item in enumerate(tensors) if item.requires_grad]
    if outcome.requires_grad and usable:
        gradients = torch.autograd.grad(outcome, [tensors[k] for k in usable], allow_unused=True)
        for k, item in zip(usable, gradients, strict=True):
            found[k] = item
    return {
        name: torch.zeros_like(tensor) if item is None else item
        for name, tensor, item in zip(names, tensors, found, strict=True)
    }


def _against_differences(running: Running, point: Point, generator: torch.Generator) -> float:
    """Largest relative difference of formulas and central differences along random directions."""
    known = running.values(point)
    worst = 0.0
    formulas = running.gradients(known)
    for name in _some(list(formulas), generator):
        formula, value = formulas[name], known[name]
        kick = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        h = 1e-6
        ends = [value + sign * h * kick for sign in (1, -1)]
        if not _same_side(running, point, name, ends):
            continue  # a kink lies between: the sides are compared apart
        up, down = (float(running.objective(point, {name: end})) for end in ends)
        slope, wanted = (up - down) / (2 * h), float((formula * kick).sum())
        gap = abs(slope - wanted) / max(1.0, abs(wanted), abs(up) * 1e-3)
        if gap > _CLOSE:
            raise DerivationError(
                f"the formula for the gradient by {name} failed its proof: it differs from a "
                f"central difference by {gap:.1e}, so it is not shown"
            )
        worst = max(worst, gap)
    return worst


def _some(names: list[str], generator: torch.Generator) -> list[str]:
    """All names; of very many some, others at each point."""
    order = torch.randperm(len(names), generator=generator)[:_NAMES]
    return [names[int(k)] for k in order.sort().values]


def _same_side(running: Running, point: Point, name: str, ends: list[torch.Tensor]) -> bool:
    first, second = (running.pieces(running.values(point, {name: end})) for end in ends)
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def _beside_kinks(running: Running, generator: torch.Generator, way: str) -> Iterator[Point]:
    """Pairs of points, one on each side of a kink."""
    found = 0
    for _ in range(_PAIRS):
        ends = [draw(running, generator, way) for _ in range(2)]
        if any(leaf.role == "labels" for leaf in running.program.leaves.values()):
            ends[1] = {**ends[1], **_discrete(running, ends[0])}
        pair = _closed_in(running, *ends)
        if pair is not None:
            yield from pair
            found += 2
        if found >= _SIDES:
            return


def _discrete(running: Running, point: Point) -> Point:
    """Labels and masks, which must not change on the way."""
    leaves = running.program.leaves.values()
    return {leaf.name: point[leaf.name] for leaf in leaves if leaf.role in ("labels", "mask")}


def _closed_in(running: Running, a: Point, b: Point) -> tuple[Point, Point] | None:
    """The two sides of a kink between two points; None where there is none."""
    if _alike(running, a, b):
        return None
    for _ in range(30):
        middle = {name: (a[name] + b[name]) / 2 for name in a}
        if _alike(running, a, middle):
            a = middle
        else:
            b = middle
    usable = all(
        finite(known) and finite(running.gradients(known)) for known in map(running.values, (a, b))
    )
    return (a, b) if usable else None


def _alike(running: Running, a: Point, b: Point) -> bool:
    first, second = (running.pieces(running.values(point)) for point in (a, b))
    return all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
