"""Numerical: the gradient from differences of values, and how far to trust it.

The centered difference ``(f(x + h) - f(x - h)) / 2h`` is off by ``h^2 f''' / 6`` (truncation) and
by about ``e / h`` (rounding), where e is the noise of a value; both are bounded here, since a
relative error without its bound condemns the innocent where gradients are small.

Sources: the noise of a computed function from its difference table: J. More and S. Wild,
Estimating computational noise, SIAM J. Sci. Comput. 33 (2011). Extrapolation: L. F. Richardson
(1911).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from chainrule.gradients.problem import Problem, Values, as_real, floats_of, like, project

METHODS = ("central", "forward", "richardson")
_BYTES_AT_ONCE = 64 * 2**20
_MOST_AT_ONCE = 256
_POINTS = 6  # of the difference table
_SAMPLE = 100_000  # values from which the median one is told


def step_factor(dtype: torch.dtype, method: str = "central") -> float:
    """The relative step that balances truncation and rounding: eps^(1/3), eps^(1/2) or eps^(1/5).

    Examples:
        >>> round(step_factor(torch.float64) * 1e6, 2)
        6.06
    """
    power = {"central": 1 / 3, "forward": 1 / 2, "richardson": 1 / 5}[method]
    return float(torch.finfo(dtype).eps ** power)


def scales(tensor: Tensor) -> Tensor:
    """The scale of each value: its own magnitude, but no less than a tenth of the median one."""
    real = as_real(tensor.detach()).abs()
    some = real.flatten()[:: max(real.numel() // _SAMPLE, 1)]
    nonzero = some[some > 0]
    usual = float(nonzero.median()) if nonzero.numel() else 1.0
    return real.clamp_min_(0.1 * usual)  # ``abs`` made it ours


def scale_of(problem: Problem, name: str) -> Tensor:
    """The scales of a leaf, kept where it is small; not to be changed."""
    leaf = problem.leaves[name]
    if leaf.numel() > _SAMPLE:
        return scales(leaf)
    if name not in problem.scales:
        problem.scales[name] = scales(leaf)
    return problem.scales[name]


def noise_of(problem: Problem) -> list[Tensor]:
    """The uncertainty of each output number: the spread of values at points that hardly differ.

    Args:
        problem: a started problem.
    """
    rows = [problem.evaluate(point) for point in _points_beside(problem)]
    return _spreads([torch.stack(list(column)) for column in zip(*rows, strict=True)])


def _points_beside(problem: Problem) -> list[Values]:
    """Points that hardly differ from the problem's own, which is the first of them."""
    generator = torch.Generator().manual_seed(2)
    kicks: Values = {}
    for name, leaf in sorted(problem.leaves.items(), key=lambda item: item[1].numel()):
        real = as_real(leaf)
        if kicks and real.numel() > 10 * _SAMPLE:
            break  # the others stir enough
        kick = torch.randn(real.shape, generator=generator, dtype=torch.float64).to(real.dtype)
        kicks[name] = like(real * kick, leaf)
    dtype = as_real(next(iter(problem.leaves.values()))).dtype
    tiny = 8 * torch.finfo(dtype).eps
    return [
        problem.leaves
        | {name: problem.leaves[name] + place * tiny * kick for name, kick in kicks.items()}
        for place in range(_POINTS)
    ]


def _spreads(columns: list[Tensor]) -> list[Tensor]:
    """Noise of each output number from outputs at neighbouring points, (points, ...)."""
    return [_spread(as_real(item)) for item in columns]


def largest_effect(
    problem: Problem, gradient: dict[str, Tensor | None], outputs: list[Tensor]
) -> float:
    """The largest ``|gradient| * scale`` of any element, or the size of the value if that is more.

    Args:
        problem: a started problem.
        gradient: by name.
        outputs: its values at the point.
    """
    sizes = [
        sum(
            float((as_real(v) * as_real(item)).abs().sum())
            for v, item in zip(problem.upstream, outputs, strict=True)
        )
    ]
    for name, found in gradient.items():
        if found is not None and found.numel():
            sizes.append(float((as_real(found).abs() * scale_of(problem, name)).max()))
    return max((size for size in sizes if math.isfinite(size)), default=0.0)


def _spread(values: Tensor) -> Tensor:
    """Noise of a function from equally spaced values (points, ...), by their third differences."""
    third = values.double().diff(n=3, dim=0)
    spread = (third.square().mean(dim=0) / 20).sqrt()  # 20 = binomial(6, 3)
    floor = torch.finfo(values.dtype).eps * values[0].double().abs()
    return torch.maximum(spread, floor)


@dataclass
class Differences:
    """Differences of a problem, many at a time where that can be done.

    Attributes:
        problem: a started problem.
        room: bytes that one evaluation holds, about.
        base: its outputs at the point itself, where they are known.
        effect: size of the value, or of its largest change when one element moves by its scale.
        batched: whether vmap can be used; None before the first try.
    """

    problem: Problem
    room: int = 0
    base: list[Tensor] = field(default_factory=list)
    effect: float = 0.0
    batched: bool | None = None
    _kept: Values = field(default_factory=dict)
    _noise: list[Tensor] | None = None

    @property
    def noise(self) -> list[Tensor]:
        """Uncertainty of each output number."""
        if self._noise is None:
            self._noise = noise_of(self.problem)
        return self._noise

    def along(
        self, name: str, steps: Tensor, places: Tensor, method: str = "central"
    ) -> tuple[Tensor, Tensor]:
        """Slopes along single elements of one leaf, and what rounding makes them uncertain by.

        Args:
            name: the leaf.
            steps: (n,) step of each element.
            places: (n,) flat places of the elements.
            method: "central", "forward" or "richardson".
        """
        if method == "richardson":
            fine, noise = self.along(name, steps / 2, places)
            coarse, _ = self.along(name, steps, places)
            return (4 * fine - coarse) / 3, 2 * noise
        both = method == "central"
        slopes, noises = [], []
        for begin in range(0, len(places), self._at_once(name)):
            end = begin + self._at_once(name)
            h, where = steps[begin:end], places[begin:end]
            change, noise = self._changes(name, h, where, both)
            width = 2 * h if both else h
            slopes.append(change / width)
            noises.append(noise / width)
        return torch.cat(slopes), torch.cat(noises)

    def _at_once(self, name: str) -> int:
        size = self.problem.leaves[name].nbytes + self.room
        return max(1, min(_MOST_AT_ONCE, _BYTES_AT_ONCE // max(size, 1)))

    def _changes(self, name: str, h: Tensor, where: Tensor, both: bool) -> tuple[Tensor, Tensor]:
        """f(x + h) - f(x - h) for each place, projected, with its noise."""
        leaf = as_real(self.problem.leaves[name])
        h = h.to(leaf.dtype)
        if self.batched is not False and len(where) > 1:
            found = self._in_one_go(name, leaf, h, where, both)
            if found is not None:
                return found
        pairs = [
            self.change({name: one_hot(leaf, int(place), float(step))}, both)
            for place, step in zip(where, h, strict=True)
        ]
        return torch.stack([p for p, _ in pairs]), torch.stack([n for _, n in pairs])

    def boost(self, name: str) -> float:
        """How much longer than usual the steps of a leaf may be: 1, 10 or 100.

        Longer steps drown less in rounding; along a random direction the longer difference must
        agree with the usual one.
        """
        leaf = as_real(self.problem.leaves[name])
        generator = torch.Generator().manual_seed(7)
        signs = torch.randint(0, 2, leaf.shape, generator=generator).to(leaf.dtype) * 2 - 1
        kick = step_factor(leaf.dtype) * signs * scale_of(self.problem, name)
        change, noise = self.change({name: kick})
        slope, best = float(change), 1.0
        for factor in (10.0, 100.0):
            longer = float(self.change({name: factor * kick})[0]) / factor
            if not abs(longer - slope) <= float(noise) + 1e-9 * abs(slope):
                break
            best = factor
        return best

    def _at_many(self, points: Any, made: Callable[[Any], Values], count: int) -> list[Tensor]:
        """The chosen outputs at ``count`` points in one call."""
        problem = self.problem
        problem.rewind()
        buffers = {
            key: item.expand(count, *item.shape).clone() for key, item in problem.buffers.items()
        }

        def one(point: Any, own: Values) -> tuple[Tensor, ...]:
            outputs = floats_of(problem.function({**made(point), **own}))
            return tuple(outputs[place] for place in problem.chosen)

        with torch.no_grad():
            return list(vmap(one, randomness="same")(points, buffers))

    def change(self, kicks: Values, both: bool = True) -> tuple[Tensor, Tensor]:
        """f(x + d) - f(x - d) along any direction d, projected, with its noise."""
        ends = [self._at(kicks, sign) for sign in ((1, -1) if both else (1, 0))]
        change = [plus - minus for plus, minus in zip(*ends, strict=True)]
        return project(self.problem.upstream, change), self.uncertainty(change, batch=False)

    def bent(self, kicks: Values) -> tuple[float, float, float]:
        """As ``change``, with the distance between its right and its left half.

        That distance is what curvature and kinks on the way come to.
        """
        right, left = (self._at(kicks, sign) for sign in (1, -1))
        whole = [plus - minus for plus, minus in zip(right, left, strict=True)]
        bend = [
            plus + minus - 2 * middle
            for plus, minus, middle in zip(right, left, self.base, strict=True)
        ]
        upstream = self.problem.upstream
        noise = float(self.uncertainty(whole, batch=False))
        return float(project(upstream, whole)), noise, abs(float(project(upstream, bend)))

    def _at(self, kicks: Values, sign: int) -> list[Tensor]:
        values = dict(self.problem.leaves)
        for name, kick in kicks.items():
            moved = torch.add(as_real(values[name]), kick, alpha=sign)
            values[name] = like(moved, values[name])
        return self.problem.evaluate(values)

    def uncertainty(self, change: list[Tensor], batch: bool) -> Tensor:
        """Noise of a projected difference: of those outputs only that change at all."""
        total = torch.zeros(())
        for v, item, noise in zip(self.problem.upstream, change, self.noise, strict=True):
            weighed = noise * as_real(v).abs() * (as_real(item) != 0)
            total = total + (weighed.reshape(len(weighed), -1).sum(1) if batch else weighed.sum())
        return total

    def _in_one_go(
        self, name: str, leaf: Tensor, h: Tensor, where: Tensor, both: bool
    ) -> tuple[Tensor, Tensor] | None:
        """All kicks in one call by vmap; None where the function cannot be batched."""
        try:
            change = self._batched_change(name, leaf, h, where, both)
            if self.batched is None:
                kick = {name: one_hot(leaf, int(where[0]), float(h[0]))}
                self.batched = self._agrees(kick, both, [item[0] for item in change])
        except Exception:  # noqa: BLE001 - whatever vmap cannot do is done one by one
            self._kept.clear()
            self.batched = False
        if not self.batched:
            return None
        return project(self.problem.upstream, change, batch=True), self.uncertainty(
            change, batch=True
        )

    def _batched_change(
        self, name: str, leaf: Tensor, h: Tensor, where: Tensor, both: bool
    ) -> list[Tensor]:
        problem, count = self.problem, len(where)
        original = problem.leaves[name]
        points = self._copies(name, leaf, 2 * count)
        flat, rows = points.view(2 * count, -1), torch.arange(count)
        flat[rows, where] += h
        if both:
            flat[count + rows, where] -= h
        problem.evaluations += 2 * count

        def made(point: Tensor) -> Values:
            return {**problem.leaves, name: like(point, original)}

        outputs = self._at_many(points, made, 2 * count)
        flat[rows, where] = flat[count + rows, where] = leaf.flatten()[where]
        return [item[:count] - item[count:] for item in outputs]

    def _copies(self, name: str, leaf: Tensor, count: int) -> Tensor:
        """Copies of a leaf, made once and put right after each use: the leaf is not read again."""
        kept = self._kept.get(name)
        if kept is None or len(kept) < count:
            self._kept.clear()
            kept = leaf.expand(count, *leaf.shape).clone()
            self._kept[name] = kept
        return kept[:count]

    def _agrees(self, kicks: Values, both: bool, batched: list[Tensor]) -> bool:
        """Whether one by one gives the same: vmap must not change what is computed."""
        ends = [self._at(kicks, sign) for sign in ((1, -1) if both else (1, 0))]
        return all(
            bool(((as_real(plus - minus) - as_real(item)).abs() <= 20 * noise + 1e-300).all())
            for plus, minus, item, noise in zip(*ends, batched, self.noise, strict=True)
        )


def one_hot(leaf: Tensor, place: int, value: float) -> Tensor:
    """Zeros like ``leaf`` with one value at a flat place."""
    made = torch.zeros(leaf.numel(), dtype=leaf.dtype)
    made[place] = value
    return made.view(leaf.shape)


def ladder(first: float, largest: float) -> list[float]:
    """Steps to try: the usual one, then others around it, up to ``largest``.

    Examples:
        >>> [f"{h:.0e}" for h in ladder(1e-6, 1e-2)]
        ['1e-06', '1e-05', '1e-07', '1e-04', '1e-08', '1e-03', '1e-09', '1e-02']
    """
    up = [first * 10**k for k in range(1, 12) if first * 10**k <= largest * (1 + 1e-9)]
    down = [first / 10**k for k in range(1, 4)]
    steps = [first]
    for place in range(max(len(up), len(down))):
        steps += up[place : place + 1] + down[place : place + 1]
    return [h for h in steps if h > 0 and math.isfinite(h)]
