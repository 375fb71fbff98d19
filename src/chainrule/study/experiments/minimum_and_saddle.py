"""Local minimum and saddle: what gets stuck there, and what escapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import generator
from chainrule.study.measured import Part, median_of, ratio_of
from chainrule.study.picture import Curve, Landscape, Panel, Picture, Table, curve

_STOPPED = 1e-3  # nearer than this to the point of zero gradient: stuck
_AWAY = 0.5  # farther than this from the saddle, half-way to a minimum: left
_DRAWN = 400  # steps of the paths in the pictures


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        rate: learning rate of everything.
        momentum: mu, where there is momentum.
        noise: standard deviation of the noise in the gradient, where there is noise.
        beside: distance from the saddle's stable line, where the start is not on it.
        hill: place of the top between the shallow minimum (0) and the deep one.
        deep: place of the deep minimum.
        far: start well above the top, on the shallow side.
        near: start hardly above the top.
        steps: updates of each path.
        runs: starts.
    """

    rate: float = 0.05
    momentum: float = 0.9
    noise: float = 1e-3
    beside: float = 1e-8
    hill: float = 0.4
    deep: float = 2.0
    far: float = -1.0
    near: float = -0.2
    steps: int = 1000
    runs: int = 10


def saddle(place: Tensor) -> Tensor:
    """x^2/2 - y^2/2 + y^4/4: a saddle at (0, 0), minima at (0, 1) and (0, -1)."""
    x, y = place
    height: Tensor = x**2 / 2 - y**2 / 2 + y**4 / 4
    return height


def saddle_gradient(place: Tensor) -> Tensor:
    """Its gradient (2, runs)."""
    x, y = place
    return torch.stack([x, y**3 - y])


def wells(place: Tensor, hill: float, deep: float) -> Tensor:
    """Along x a shallow minimum at 0, a top at ``hill``, a minimum at ``deep``; y^2/2 across."""
    x, y = place
    along = x**4 / 4 - (hill + deep) * x**3 / 3 + hill * deep * x**2 / 2
    height: Tensor = along + y**2 / 2
    return height


def wells_gradient(place: Tensor, hill: float, deep: float) -> Tensor:
    """Its gradient (2, runs)."""
    x, y = place
    return torch.stack([x * (x - hill) * (x - deep), y])


def descend(
    gradient: Callable[[Tensor], Tensor],
    start: Tensor,
    setup: Setup,
    *,
    momentum: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """Every place of the way (steps + 1, 2, runs) by v <- mu v + g; w <- w - rate v.

    Args:
        gradient: of the function at (2, runs).
        start: (2, runs).
        setup: rate and steps.
        momentum: mu.
        noise: standard deviation of what is added to the gradient.
        seed: of that noise.
    """  # fmt: skip
    random, place, velocity, way = generator(seed), start, torch.zeros_like(start), [start]
    for _ in range(setup.steps):
        drawn = torch.randn(start.shape, generator=random, dtype=start.dtype)
        velocity = momentum * velocity + gradient(place) + noise * drawn
        place = place - setup.rate * velocity
        way.append(place)
    return torch.stack(way)


def measure(setup: Setup, seed: int) -> Outcome:
    """Paths at a saddle and in a valley with two minima."""
    at_saddle = _at_saddle(setup, seed)
    in_wells = _in_wells(setup, seed)
    parts = (*_always(setup, at_saddle, in_wells), *_momentum_at_saddle(setup, at_saddle),
             *_aside(at_saddle, in_wells))  # fmt: skip
    notes = (
        "Momentum can only enlarge a gradient that is there: exactly on the stable line the "
        "gradient across it is 0, and no momentum leaves it.",
        "Off that line, by however little, plain gradient descent leaves the saddle too; it takes "
        "longer. Only a start of probability 0 stays stuck at this saddle forever.",
    )
    pictures = (_paths(setup, at_saddle, in_wells), _escape(at_saddle))
    return Outcome(parts, pictures, (_table(at_saddle),), notes)


def _starts(setup: Setup, x: float, spread: float, seed: int) -> Tensor:
    """Starts (2, runs), x within 0.1 and y within ``spread``."""
    drawn = 2 * torch.rand(2, setup.runs, generator=generator(seed), dtype=torch.float64) - 1
    return torch.stack([x + 0.1 * drawn[0], spread * drawn[1]])


def _at_saddle(setup: Setup, seed: int) -> dict[str, Tensor]:
    """Ways by what is done; all start on the stable line y = 0 or beside it."""
    on = _starts(setup, -1.0, 0.0, seed)
    beside = on + torch.tensor([[0.0], [setup.beside]], dtype=on.dtype)
    mu = setup.momentum
    return {
        "plain, on the line": descend(saddle_gradient, on, setup),
        "with noise": descend(saddle_gradient, on, setup, noise=setup.noise, seed=seed + 1),
        "momentum, on the line": descend(saddle_gradient, on, setup, momentum=mu),
        "plain, beside the line": descend(saddle_gradient, beside, setup),
        "momentum, beside the line": descend(saddle_gradient, beside, setup, momentum=mu),
    }


def _in_wells(setup: Setup, seed: int) -> dict[str, Tensor]:
    def gradient(place: Tensor) -> Tensor:
        return wells_gradient(place, setup.hill, setup.deep)

    far = _starts(setup, setup.far, 0.5, seed + 2)
    near = far + torch.tensor([[setup.near - setup.far], [0.0]], dtype=far.dtype)
    mu = setup.momentum
    return {
        "plain": descend(gradient, far, setup),
        "with noise": descend(gradient, far, setup, noise=setup.noise, seed=seed + 3),
        "momentum": descend(gradient, far, setup, momentum=mu),
        "momentum, start low": descend(gradient, near, setup, momentum=mu),
    }


def steps_to_leave(way: Tensor) -> list[float]:
    """Of each run the first step farther than ``_AWAY`` from the line; infinite if none."""
    outside = way[:, 1].abs() > _AWAY
    first = outside.int().argmax(0)
    return [
        float(step) if left else math.inf
        for step, left in zip(first.tolist(), outside.any(0).tolist(), strict=True)
    ]


def _distances(way: Tensor, x: float = 0.0) -> list[float]:
    """At the end, from (x, 0)."""
    final: list[float] = (way[-1] - torch.tensor([[x], [0.0]])).norm(dim=0).tolist()
    return final


def _always(
    setup: Setup, at_saddle: dict[str, Tensor], in_wells: dict[str, Tensor]
) -> tuple[Part, ...]:
    return (
        Part("plain gradient descent stops at a local minimum",
             median_of("distance from the shallow minimum at the end",
                       _distances(in_wells["plain"])), at_most=_STOPPED),
        Part("it stops at a saddle when it comes along the stable line",
             median_of("distance from the saddle at the end",
                       _distances(at_saddle["plain, on the line"])), at_most=_STOPPED),
        Part("a little noise in the gradient leaves the saddle",
             median_of("steps until it has left", steps_to_leave(at_saddle["with noise"]),
                       "steps"), at_most=setup.steps),
        Part("momentum can roll out of a shallow local minimum",
             median_of("distance from the deep minimum at the end",
                       _distances(in_wells["momentum"], setup.deep)), at_most=_STOPPED),
    )  # fmt: skip


def _momentum_at_saddle(setup: Setup, at_saddle: dict[str, Tensor]) -> tuple[Part, ...]:
    cases = (
        ("momentum, on the line", "momentum starts exactly on the saddle's stable line"),
        ("momentum, beside the line", f"momentum starts {setup.beside:g} beside the saddle's "
         "stable line"),
    )  # fmt: skip
    return tuple(
        Part("it leaves the saddle",
             median_of(f"{name}: steps until it has left", steps_to_leave(at_saddle[name]),
                       "steps"), at_most=setup.steps, when=when)
        for name, when in cases
    )  # fmt: skip


def _aside(at_saddle: dict[str, Tensor], in_wells: dict[str, Tensor]) -> tuple[Part, ...]:
    plain = steps_to_leave(at_saddle["plain, beside the line"])
    faster = steps_to_leave(at_saddle["momentum, beside the line"])
    ratios = [one / other for one, other in zip(plain, faster, strict=True)]
    return (
        Part("beside the line momentum leaves sooner than plain gradient descent",
             ratio_of("steps, plain over momentum", ratios), at_least=1, beside=True),
        Part("the same little noise does not leave the local minimum",
             median_of("distance from it at the end", _distances(in_wells["with noise"])),
             at_most=0.1, beside=True),
        Part("nor does momentum from a start hardly higher than the top",
             median_of("distance from it at the end, start low",
                       _distances(in_wells["momentum, start low"])), at_most=0.1, beside=True),
    )  # fmt: skip


def _path(label: str, way: Tensor) -> Curve:
    """The first run's way."""
    return curve(label, way[: _DRAWN + 1, 1, 0].tolist(), way[: _DRAWN + 1, 0, 0].tolist())


def _heights(function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return function(torch.stack([columns, rows]))


def _landscape(
    title: str, function: Callable[[Tensor], Tensor], ends: tuple[float, float, float],
    ways: dict[str, Tensor],
) -> Landscape:  # fmt: skip
    """Contours from x = ends[0] to ends[1] and y = -ends[2] to ends[2]."""
    x, y = torch.linspace(ends[0], ends[1], 61), torch.linspace(-ends[2], ends[2], 41)
    rows = _heights(function, x, y).tolist()
    return Landscape(
        title, tuple(x.tolist()), tuple(y.tolist()), tuple(map(tuple, rows)),
        tuple(_path(label, way) for label, way in ways.items()), "x", "y",
    )  # fmt: skip


def _paths(
    setup: Setup, at_saddle: dict[str, Tensor], in_wells: dict[str, Tensor]
) -> Picture:  # fmt: skip
    names = ("plain, on the line", "with noise", "momentum, beside the line")
    return Picture(
        f"Paths of the first {_DRAWN} steps",
        "At the saddle plain gradient descent stops, noise and momentum beside the line turn off "
        "to a minimum; momentum rolls through the shallow minimum into the deep one",
        (
            _landscape("Saddle", saddle, (-1.5, 1.5, 1.5),
                       {name: at_saddle[name] for name in names}),
            _landscape("Shallow and deep minimum",
                       lambda place: wells(place, setup.hill, setup.deep), (-1.3, 2.6, 1.0),
                       in_wells),
        ),
    )  # fmt: skip


def _escape(at_saddle: dict[str, Tensor]) -> Picture:
    """Distance from the stable line against the step, of the first run."""
    curves = tuple(
        curve(name, way[: _DRAWN + 1, 1, 0].abs().tolist(), range(_DRAWN + 1))
        for name, way in at_saddle.items()
        if "on the line" not in name
    )
    panel = Panel("Leaving the saddle", "step", "|y|, distance from the stable line", curves,
                  y_log=True, marks=((_AWAY, "left"),))  # fmt: skip
    return Picture(
        "How the distance from the stable line grows",
        "It grows by the same factor in every step, faster with momentum; on the line it stays 0",
        (panel,),
    )


def _table(at_saddle: dict[str, Tensor]) -> Table:
    rows = []
    for name, way in at_saddle.items():
        steps = sorted(steps_to_leave(way))
        rows.append((name, steps[0], steps[len(steps) // 2], steps[-1]))
    return Table(("at the saddle", "steps to leave, fewest", "median", "most"), tuple(rows))


EXPERIMENT = Experiment(
    name="minimum-and-saddle",
    title="Local minimum and saddle: who gets stuck?",
    claim="Where the gradient is zero, gradient descent gets stuck: at a local minimum and at a "
    "saddle. A little noise, such as that of minibatches, or momentum escapes from the saddle, and "
    "momentum can roll out of a shallow local minimum.",
    hypothesis="Near the saddle the distance y from the stable line grows by 1 + rate in each "
    "step, with momentum by the larger root of z^2 - (1 + mu + rate) z + mu = 0. That takes "
    "log(0.5 / y) steps over the logarithm of the factor, and forever when y = 0; noise never "
    "leaves y at 0. Momentum keeps enough speed to cross a low top.",
    set_up="x^2/2 - y^2/2 + y^4/4 (saddle at 0) and a valley with minima at x = 0 and x = {deep} "
    "and a top at {hill}; gradient descent with rate {rate}, with momentum {momentum}, and with "
    "noise of standard deviation {noise} in the gradient; {steps} steps from {runs} starts: at "
    "the saddle exactly on the stable line or {beside} beside it; in the valley about x = {far}, "
    "and about {near}, hardly higher than the top. Stuck: within 0.001 at the end; left: farther "
    "than 0.5.",
    setup=Setup(),
    sabotage="the noise has standard deviation 0",
    sabotaged=Setup(noise=0.0),
    measure=measure,
    next=(
        "chainrule curvature 'FC-16, RELU, FC-10' --data digits: negative eigenvalues are ways "
        "down from a saddle",
        "lower momentum to 0.5: does it still roll over the top?",
    ),
    references=(
        "Y. Dauphin et al., Identifying and attacking the saddle point problem in "
        "high-dimensional non-convex optimization, NIPS 2014",
        "J. D. Lee, M. Simchowitz, M. I. Jordan and B. Recht, Gradient descent only converges to "
        "minimizers, COLT 2016",
    ),
)
