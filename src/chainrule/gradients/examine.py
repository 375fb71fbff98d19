"""Examine: one suspicious slope, looked at closely.

The difference is taken with many steps; each has its own bound: rounding, truncation, and, where
a kink lies in the way, the distance between the slopes from the left and from the right. The step
with the smallest bound decides. Where every step ends at a kink the point itself lies on one, and
the gradient is examined at a point beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from chainrule.gradients.kinks import Pieces, Watch, crossed, one_sided_gap
from chainrule.gradients.numerical import Differences, ladder, scales
from chainrule.gradients.problem import Problem, Values, as_real, like, project

_SURE = 3.0  # a slope is wrong when it is further off than this many bounds
NEGLIGIBLE = 1e-10  # of the value, or of the largest effect that an element has on it
_RESOLVED = 1e-2  # a bound above this share of the slope shows nothing
_AWAY = (1e-4, 1e-3, 1e-2, 1e-1)  # how far from a kink, in scales of each value


@dataclass(frozen=True)
class Line:
    """A line through the point: one element, or a random direction.

    Attributes:
        kicks: the direction, by leaf, in real numbers.
        first: the usual step along it.
        largest: a step that changes the values by their own scale.
    """

    kicks: Values
    first: float
    largest: float


@dataclass(frozen=True)
class Reading:
    """What one step says about a slope."""

    slope: float
    bound: float
    step: float
    kink: str = ""
    gap: float = 0.0


@dataclass(frozen=True)
class Opinion:
    """The verdict on one slope.

    Attributes:
        verdict: "agrees", "kink", "wrong" or "blind".
        analytic: the slope in question.
        reading: the most certain difference.
        kink: operation that bends on the way, "" for none.
    """

    verdict: str
    analytic: float
    reading: Reading
    kink: str = ""


def slope_along(gradient: dict[str, torch.Tensor | None], kicks: Values) -> float:
    """The gradient's slope along a direction; a missing gradient is 0."""
    total = 0.0
    for name, kick in kicks.items():
        found = gradient[name]
        if found is not None:
            total += float(torch.dot(as_real(found).double().flatten(), kick.double().flatten()))
    return total


def examine(
    differences: Differences,
    gradient: dict[str, torch.Tensor | None],
    line: Line,
    tolerance: float = 1e-7,
    few: bool = False,
) -> Opinion:
    """The verdict on the slope along a line.

    Args:
        differences: of the problem.
        gradient: in question.
        line: element or direction.
        tolerance: relative error that is always fine.
        few: take only the first steps, where an evaluation is dear.
    """
    analytic = slope_along(gradient, line.kicks)
    opinion = _judged(differences, analytic, line, tolerance, few)
    if opinion.verdict != "kink":
        return opinion
    for distance in _AWAY[:2] if few else _AWAY:
        sides = _both_sides(differences, line, tolerance, few, distance)
        wrong = next((there for there in sides if there.verdict == "wrong"), None)
        if wrong is not None:
            return replace(wrong, kink=opinion.kink)
        if any(there.verdict == "agrees" for there in sides):
            return opinion
    return replace(opinion, verdict="blind")


def _both_sides(
    differences: Differences, line: Line, tolerance: float, few: bool, distance: float
) -> list[Opinion]:
    """Opinions off the kink, one step away and the opposite one: one side is often flat."""
    found = []
    for signed in (distance, -distance):
        moved = beside(differences, signed)
        if moved is not None:
            slope = slope_along(moved.problem.gradient(), line.kicks)
            found.append(_judged(moved, slope, line, tolerance, few))
    return found


def beside(differences: Differences, distance: float) -> Differences | None:
    """The same problem a little off this point; None where it is not finite there."""
    problem = differences.problem
    generator = torch.Generator().manual_seed(4)
    leaves = {}
    for name, leaf in problem.leaves.items():
        real = as_real(leaf)
        kick = torch.randn(real.shape, generator=generator, dtype=torch.float64).to(real.dtype)
        leaves[name] = like(real + distance * scales(leaf) * kick, leaf)
    moved = replace(problem, leaves=leaves, prefix=None)
    outputs = moved.evaluate(leaves)
    if not all(bool(torch.isfinite(item).all()) for item in outputs):
        return None
    return replace(differences, problem=moved)


def _judged(
    differences: Differences, analytic: float, line: Line, tolerance: float, few: bool
) -> Opinion:
    readings = _readings(differences, analytic, line, tolerance, few)
    if not readings:
        return Opinion("blind", analytic, Reading(math.nan, math.inf, line.first))
    kink = next((item.kink for item in readings if item.kink), "")
    readings.sort(key=lambda item: item.bound)
    best, witnesses = readings[0], readings[: 2 if len(readings) > 1 else 1]
    if not math.isfinite(analytic):
        return Opinion("wrong", analytic, best, kink)
    size = max(abs(analytic), abs(best.slope))
    if all(_off(analytic, item, tolerance) for item in witnesses):
        resolved = best.bound <= _RESOLVED * max(size, 1e-300) or not best.kink
        digit = torch.finfo(as_real(differences.problem.upstream[0]).dtype).eps
        if _negligible(differences, analytic, best, line, 10 * digit):
            return Opinion("agrees", analytic, best, kink)
        return Opinion("wrong" if resolved else "kink", analytic, best, kink)
    if best.bound > _RESOLVED * size and not _negligible(
        differences, analytic, best, line, NEGLIGIBLE
    ):
        return Opinion("kink" if best.gap > 0.5 * best.bound else "blind", analytic, best, kink)
    return Opinion("agrees", analytic, best, kink)


def _off(analytic: float, reading: Reading, tolerance: float) -> bool:
    allowed = _SURE * reading.bound + tolerance * max(abs(analytic), abs(reading.slope))
    return abs(analytic - reading.slope) > allowed


def _negligible(
    differences: Differences, analytic: float, best: Reading, line: Line, share: float
) -> bool:
    """Whether all that could be wrong here is nothing beside the value and other elements."""
    doubt = max(best.bound, abs(analytic - best.slope)) * line.largest
    return doubt <= share * differences.effect


def _readings(
    differences: Differences, analytic: float, line: Line, tolerance: float, few: bool
) -> list[Reading]:
    found: list[Reading] = []
    look = _looker(differences.problem)
    centre = look(differences.problem.leaves)
    for h in ladder(line.first, line.largest)[: 3 if few else None]:
        reading = _reading(differences, look, centre, line, h, abs(analytic))
        if reading is not None:
            found.append(reading)
            size = max(abs(analytic), abs(reading.slope))
            if reading.bound <= tolerance * size and len(found) > 1:
                break
            if not few and _enough(found, analytic, tolerance):
                break
    return found


def _enough(found: list[Reading], analytic: float, tolerance: float) -> bool:
    """Two certain steps that say the same about the slope."""
    sure = [item for item in found if not item.kink and item.bound <= 1e-5 * abs(item.slope)]
    return len(sure) >= 2 and len({_off(analytic, item, tolerance) for item in sure}) == 1


_Look = Callable[[Values], tuple[list[torch.Tensor], Pieces, float]]


def _looker(problem: Problem) -> _Look:
    """Evaluate and, where operations can be seen, say on which pieces the point lies."""

    def look(values: Values) -> tuple[list[torch.Tensor], Pieces, float]:
        if not problem.watched:
            return problem.evaluate(values), [], 0.0
        with Watch() as watch:
            outputs = problem.evaluate(values)
        return outputs, watch.pieces, watch.largest

    return look


def _reading(
    differences: Differences,
    look: _Look,
    centre: tuple[list[torch.Tensor], Pieces, float],
    line: Line,
    h: float,
    foretold: float,
) -> Reading | None:
    """Slope with step h and h/2, extrapolated, with its bound; None where it is not finite.

    A step that is lost in the last digit of a large number on the way moves nothing, or too far:
    the bound allows for a slope off by that digit over the step.
    """
    problem = differences.problem
    points = {at: look(moved(problem.leaves, line.kicks, at * h)) for at in (1, -1)}
    halves = {at: problem.evaluate(moved(problem.leaves, line.kicks, at * h)) for at in (0.5, -0.5)}

    def between(high: list[torch.Tensor], low: list[torch.Tensor]) -> tuple[float, float]:
        change = [plus - minus for plus, minus in zip(high, low, strict=True)]
        noise = differences.uncertainty(change, batch=False)
        return float(project(problem.upstream, change)), float(noise)

    whole, noise = between(points[1][0], points[-1][0])
    half, half_noise = between(halves[0.5], halves[-0.5])
    coarse, fine = whole / (2 * h), half / h
    slope = (4 * fine - coarse) / 3
    digit = torch.finfo(centre[0][0].dtype).eps * centre[2]
    length = h * max(float(kick.abs().max()) for kick in line.kicks.values())
    weight = sum(float(as_real(v).abs().sum()) for v in problem.upstream)
    lost = (max(foretold, abs(slope)) if slope else weight) * digit / length
    rounding = (2 * half_noise + noise / 2) / h + lost
    if not all(math.isfinite(item) for item in (slope, rounding)):
        return None
    kink = _kink(problem, points, centre, between, look, line, h)
    if not kink:
        return Reading(slope, rounding + abs(slope - fine), h)
    right, _ = between(halves[0.5], centre[0])
    left, _ = between(centre[0], halves[-0.5])
    gap = 2 * abs(right - left) / h
    return Reading(fine, rounding + abs(slope - fine) + gap, h, kink, gap)


def _kink(
    problem: Problem,
    points: dict[int, tuple[list[torch.Tensor], Pieces, float]],
    centre: tuple[list[torch.Tensor], Pieces, float],
    between: Callable[..., tuple[float, float]],
    look: _Look,
    line: Line,
    h: float,
) -> str:
    """What bends between x - h and x + h, "" where nothing does."""
    if problem.watched:
        return crossed(points[-1][1], points[1][1]) or crossed(centre[1], points[1][1])

    def difference(a: float, b: float) -> float:
        high = look(moved(problem.leaves, line.kicks, a))[0]
        return between(high, look(moved(problem.leaves, line.kicks, b))[0])[0]

    noise = between(points[1][0], points[-1][0])[1]
    bends = one_sided_gap(difference, h, noise)
    return "slopes from left and right stay apart" if bends else ""


def moved(leaves: Values, kicks: Values, h: float) -> Values:
    """The leaves with a step of length h along a direction."""
    return {
        name: like(as_real(leaf) + h * kicks[name], leaf) if name in kicks else leaf
        for name, leaf in leaves.items()
    }
