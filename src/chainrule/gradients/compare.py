"""Compare: the gradient with respect to each tensor against differences.

A first pass takes one difference for each element (many at a time); what agrees is proved by two
numbers from independent ways being equal, and only what does not is examined closely.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from chainrule.gradients.examine import NEGLIGIBLE, Line, Opinion, Reading, examine, slope_along
from chainrule.gradients.numerical import Differences, one_hot, scale_of, step_factor
from chainrule.gradients.problem import Problem, as_real
from chainrule.gradients.result import TensorCheck, gravest

_EXAMINED = 40  # suspicious elements of one tensor that are looked at closely
_ENOUGH_WRONG = 3
_VERDICT = {"agrees": "correct", "kink": "kink", "wrong": "wrong", "blind": "cannot-tell"}


@dataclass(frozen=True)
class Plan:
    """How much is compared.

    Attributes:
        exhaustive: every element of every tensor.
        samples: elements of each tensor otherwise.
        directions: random directions of each tensor otherwise.
        method: of the first pass.
        few: an evaluation is dear: examine with few steps.
        deadline: moment (``time.perf_counter``) after which no further element is begun.
    """

    exhaustive: bool = True
    samples: int = 16
    directions: int = 2
    method: str = "central"
    few: bool = False
    deadline: float = math.inf


@dataclass
class _Tally:
    """What was seen of one tensor so far."""

    name: str
    errors: list[tuple[float, tuple[int, ...] | None, float, Reading]] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    kinks: int = 0
    compared: int = 0
    directions: int = 0
    unresolved: int = 0
    note: str = ""


_Seen = dict[tuple[str, int], Opinion]  # by tensor and number of its random direction


def compare_tensors(
    differences: Differences, gradient: dict[str, Tensor | None], plan: Plan
) -> tuple[TensorCheck, ...]:
    """The rows of all tensors.

    Args:
        differences: of a started problem.
        gradient: in question, by name.
        plan: how much is compared.
    """
    names = list(differences.problem.leaves)
    seen: _Seen = {}
    if not plan.exhaustive and plan.samples == 0 and not plan.few:
        for number in range(plan.directions):
            seen |= _all_at_once(differences, gradient, number)
    return tuple(compare_tensor(differences, gradient, name, plan, seen) for name in names)


def _all_at_once(
    differences: Differences, gradient: dict[str, Tensor | None], number: int
) -> _Seen:
    """One difference along the random directions of all tensors together.

    The gradient's slope is the sum of theirs. Where the sum is right to a small part of one
    tensor's share, that tensor's slope is right: errors of several do not cancel along random
    directions. Tensors whose share is too small for that are left to their own differences.
    """
    lines = {name: _line_of(differences, name, number) for name in differences.problem.leaves}
    shares = {name: slope_along(gradient, line.kicks) for name, line in lines.items()}
    first = max(line.first for line in lines.values())
    kicks = {name: first * line.kicks[name] for name, line in lines.items()}
    change, noise = (float(item) for item in differences.change(kicks))
    error, bound = sum(shares.values()) - change / (2 * first), noise / (2 * first)
    tolerance = tolerance_of(next(iter(kicks.values())).dtype)
    whole = sum(abs(share) for share in shares.values())
    if not abs(error) <= 10 * tolerance * whole + bound:
        return {}
    return {
        (name, number): Opinion("agrees", share, Reading(share - error, bound, first))
        for name, share in shares.items()
        if abs(error) + bound <= 1e-3 * abs(share)
    }


def _line_of(differences: Differences, name: str, number: int) -> Line:
    return random_line(differences.problem, name, seed=10 + number)


def compare_tensor(
    differences: Differences,
    gradient: dict[str, Tensor | None],
    name: str,
    plan: Plan,
    seen: _Seen | None = None,
) -> TensorCheck:
    """The row of one tensor.

    Args:
        differences: of a started problem.
        gradient: in question, by name.
        name: the tensor.
        plan: how much is compared.
        seen: opinions on random directions that are known already.
    """
    leaf = differences.problem.leaves[name]
    tally = _Tally(name)
    if not plan.exhaustive:
        _directions(differences, gradient, tally, plan, seen or {})
    places = _places(leaf, gradient[name], plan)
    if len(places):
        _elements(differences, gradient, tally, places, plan)
    return _row(leaf, gradient[name], tally)


def _places(leaf: Tensor, found: Tensor | None, plan: Plan) -> Tensor:
    """Which elements are compared: all, or those with the largest, with no gradient, and any."""
    count = as_real(leaf).numel()
    if plan.exhaustive or count <= plan.samples:
        return torch.arange(count)
    if plan.samples == 0:
        return torch.empty(0, dtype=torch.int64)
    generator = torch.Generator().manual_seed(5)
    size = torch.zeros(count) if found is None else as_real(found).flatten().abs()
    large = size.topk(min(max(plan.samples // 2, 1), count)).indices
    nothing = (size == 0).nonzero().flatten()
    nothing = nothing[torch.randperm(len(nothing), generator=generator)][: plan.samples // 4]
    rest = torch.randperm(count, generator=generator)[: plan.samples]
    chosen = torch.cat([large, nothing, rest]).tolist()
    return torch.tensor(sorted(set(chosen))[: 2 * plan.samples])


def _elements(
    differences: Differences,
    gradient: dict[str, Tensor | None],
    tally: _Tally,
    places: Tensor,
    plan: Plan,
) -> None:
    leaf = as_real(differences.problem.leaves[tally.name])
    found = gradient[tally.name]
    analytic = torch.zeros(len(places)) if found is None else as_real(found).flatten()[places]
    tally.compared = len(places)
    boost = 1.0 if plan.few else differences.boost(tally.name)
    look = _look(differences, tally.name, places, analytic.double(), plan, boost)
    if boost > 1 and not bool(look.accepted.all()):  # a long step may bend on the way
        open_ones = (~look.accepted).nonzero().flatten()
        again = analytic.double()[open_ones]
        look.put(open_ones, _look(differences, tally.name, places[open_ones], again, plan, 1.0))
    if bool(look.accepted.any()):
        worst = int(torch.where(look.accepted, look.relative, -1.0).argmax())
        where = _index(leaf, int(places[worst]))
        tally.errors.append(
            (float(look.relative[worst]), where, float(analytic[worst]), look.reading(worst))
        )
        tally.verdicts.append("correct")
    order = places[look.doubtful()].tolist()
    _examine_all(differences, gradient, tally, order, int((~look.fine).sum()), plan)


@dataclass(frozen=True)
class _Look:
    """One difference for each of n elements, and what it says: all (n,).

    Attributes:
        numeric: slopes.
        noise: what rounding makes them uncertain by.
        steps: their steps.
        relative: errors, relative to the slope or to what can be told.
        fine: those that agree with the gradient in question.
        accepted: those that agree and were seen well enough, or cannot matter.
    """

    numeric: Tensor
    noise: Tensor
    steps: Tensor
    relative: Tensor
    fine: Tensor
    accepted: Tensor

    def put(self, places: Tensor, other: _Look) -> None:
        """Take another look's word at some places."""
        for name in ("numeric", "noise", "steps", "relative", "fine", "accepted"):
            getattr(self, name)[places] = getattr(other, name)

    def reading(self, place: int) -> Reading:
        slope, bound = float(self.numeric[place]), float(self.noise[place])
        return Reading(slope, bound, float(self.steps[place]))

    def doubtful(self) -> Tensor:
        """Places that are not accepted: those that differ, then those not seen; worst first."""
        excess = torch.nan_to_num(self.relative, nan=math.inf)
        found = (~self.accepted).nonzero().flatten()
        found = found[excess[found].argsort(descending=True)]
        return found[(~self.fine[found]).int().argsort(descending=True, stable=True)]


def _look(
    differences: Differences,
    name: str,
    places: Tensor,
    analytic: Tensor,
    plan: Plan,
    boost: float,
) -> _Look:
    leaf = differences.problem.leaves[name]
    scale = scale_of(differences.problem, name).flatten()[places]
    steps = boost * step_factor(as_real(leaf).dtype, plan.method) * scale
    numeric, noise = differences.along(name, steps, places, plan.method)
    numeric, noise = numeric.double(), noise.double()
    error = (analytic - numeric).abs()
    size = torch.maximum(analytic.abs(), numeric.abs())
    rtol = tolerance_of(as_real(leaf).dtype)
    usual = float(analytic.square().mean().sqrt())
    doubt = torch.maximum(noise, error) * scale  # what a step as large as the value may hide
    last_digit = 10 * torch.finfo(as_real(leaf).dtype).eps
    fine = (error <= 10 * rtol * size + noise) | (doubt <= last_digit * differences.effect)
    seen = (noise <= 1e-3 * size) | (noise <= 10 * rtol * usual) | (size == 0)
    nothing = doubt <= NEGLIGIBLE * differences.effect
    relative = error / torch.maximum(size, noise / rtol).clamp_min(1e-300)
    return _Look(numeric, noise, steps, relative, fine, fine & (seen | nothing))


def _examine_all(
    differences: Differences,
    gradient: dict[str, Tensor | None],
    tally: _Tally,
    places: list[int],
    differ: int,
    plan: Plan,
) -> None:
    """Look closely at doubtful elements: the first ``differ`` disagree, the rest are too small."""
    leaf = as_real(differences.problem.leaves[tally.name])
    scale = scale_of(differences.problem, tally.name).flatten()
    own = leaf.abs().flatten()
    blind = 0
    for number, place in enumerate(places):
        late = number and time.perf_counter() > plan.deadline
        if number >= _EXAMINED or late or tally.verdicts.count("wrong") >= _ENOUGH_WRONG:
            _left(tally, len(places) - number, differ - number, blind / max(number, 1))
            break
        near = float(own[place]) or float(scale[place])
        line = Line(
            {tally.name: one_hot(leaf, place, 1.0)},
            step_factor(leaf.dtype) * min(near, float(scale[place])),
            float(scale[place]),
        )
        opinion = examine(differences, gradient, line, tolerance_of(leaf.dtype), plan.few)
        blind += opinion.verdict == "blind"
        _take(tally, opinion, _index(leaf, place), leaf.dtype)
    if blind:
        tally.unresolved += blind


def _left(tally: _Tally, left: int, differ: int, blind: float) -> None:
    """What elements amount to that were not examined, by the share of blind ones among others."""
    if tally.verdicts.count("wrong"):
        return
    tally.unresolved += math.ceil(left * blind)
    if differ > 0 and blind < 1:
        tally.note = f"{differ} more elements differ and were not examined"
        tally.verdicts.append("cannot-tell")


def _take(
    tally: _Tally, opinion: Opinion, where: tuple[int, ...] | None, dtype: torch.dtype
) -> None:
    """Add one examined slope to the tally."""
    reading = opinion.reading
    error = abs(opinion.analytic - reading.slope)
    floor = reading.bound / tolerance_of(dtype)
    size = max(abs(opinion.analytic), abs(reading.slope), floor, 1e-300)
    relative = error / size if math.isfinite(error) and math.isfinite(size) else math.nan
    tally.kinks += bool(opinion.kink)
    tally.verdicts.append(_VERDICT[opinion.verdict])
    if opinion.verdict in ("agrees", "wrong"):
        tally.errors.append((relative, where, opinion.analytic, reading))
    elif not tally.errors:
        tally.errors.append((0.0, where, opinion.analytic, reading))


def _directions(
    differences: Differences,
    gradient: dict[str, Tensor | None],
    tally: _Tally,
    plan: Plan,
    seen: _Seen,
) -> None:
    leaf = as_real(differences.problem.leaves[tally.name])
    for number in range(plan.directions):
        late = time.perf_counter() > plan.deadline
        if number and late:
            break
        tally.directions += 1
        opinion = seen.get((tally.name, number))
        if opinion is None:
            line = _line_of(differences, tally.name, number)
            opinion = _at_first_sight(differences, gradient, line, plan) or examine(
                differences, gradient, line, tolerance_of(leaf.dtype), plan.few or late
            )
        _take(tally, opinion, None, leaf.dtype)


def _at_first_sight(
    differences: Differences,
    gradient: dict[str, Tensor | None],
    line: Line,
    plan: Plan,
) -> Opinion | None:
    """Agreement within what one difference allows; None where it must be examined.

    Where an evaluation is dear, the bend between x - h and x + h, by curvature and kinks, counts
    to what is allowed: with millions of units some always switch on the way.
    """
    analytic = slope_along(gradient, line.kicks)
    tolerance = tolerance_of(next(iter(line.kicks.values())).dtype)
    for shorter in (0.1, 0.01) if plan.few else (1.0,):
        h = shorter * line.first
        kicks = {name: h * d for name, d in line.kicks.items()}
        if plan.few:
            change, noise, bend = differences.bent(kicks)
        else:
            change, noise, bend = *(float(item) for item in differences.change(kicks)), 0.0
        slope, bound = change / (2 * h), noise / (2 * h) + bend / h
        size = max(abs(analytic), abs(slope))
        if abs(analytic - slope) <= 10 * tolerance * size + bound and (
            bound <= (1e-2 if plan.few else 1e-3) * size
        ):
            return Opinion("agrees", analytic, Reading(slope, bound, h))
    return None


def random_line(problem: Problem, name: str, seed: int) -> Line:
    """A direction that moves every element of a leaf by its own scale, up or down."""
    generator = torch.Generator().manual_seed(seed)
    scale = scale_of(problem, name)
    signs = torch.randint(0, 2, scale.shape, generator=generator, dtype=torch.int8)
    signs = signs.mul_(2).sub_(1)
    kept = name in problem.scales  # a large one is ours alone: half the memory
    kick = scale * signs if kept else scale.mul_(signs)
    return Line({name: kick}, step_factor(scale.dtype), 0.1)


def tolerance_of(dtype: torch.dtype) -> float:
    """Relative error that is always fine: 1e-7 in double precision, 1e-3 in single."""
    return 1e-7 if dtype == torch.float64 else 1e-3


def _index(leaf: Tensor, place: int) -> tuple[int, ...]:
    return tuple(int(item) for item in torch.unravel_index(torch.tensor(place), leaf.shape))


def _row(leaf: Tensor, found: Tensor | None, tally: _Tally) -> TensorCheck:
    worst = max(tally.errors, key=_gravity, default=(0.0, None, 0.0, Reading(0.0, 0.0, 0.0)))
    relative, where, analytic, reading = worst
    return TensorCheck(
        tally.name,
        tuple(leaf.shape),
        relative,
        _verdict(tally),
        tally.kinks,
        leaf.numel(),
        tally.compared,
        tally.directions,
        tally.unresolved,
        where,
        analytic,
        reading.slope,
        reading.bound,
        reading.step,
        _note(found, tally),
    )


def _gravity(error: tuple[float, tuple[int, ...] | None, float, Reading]) -> float:
    return math.inf if math.isnan(error[0]) else error[0]


def _verdict(tally: _Tally) -> str:
    """The tensor's verdict: elements that nothing resolves count where they are the most."""
    graver = [item for item in tally.verdicts if item != "cannot-tell"]
    if "wrong" in graver:
        return "wrong"
    open_ones = tally.verdicts.count("cannot-tell")
    judged = tally.compared + tally.directions
    if tally.note or (open_ones and 2 * max(tally.unresolved, open_ones) > judged):
        return "cannot-tell"
    return gravest(graver)


def _note(found: Tensor | None, tally: _Tally) -> str:
    wrong = "wrong" in tally.verdicts
    if found is None and wrong:
        return "no gradient arrives, though it matters: its path is cut"
    if found is None:
        return "no gradient, and none is due: it does not matter"
    if not bool(torch.isfinite(found).all()):
        return "its gradient is not finite"
    return tally.note
