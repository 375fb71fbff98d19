"""Ill-conditioned valley: how the steps to the minimum grow with the condition number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.experiments.quadratic_valley import RULES, descend, rotation, valley
from chainrule.study.lesson import generator
from chainrule.study.measured import Part, mean_of, ratio_of
from chainrule.study.picture import Curve, Landscape, Panel, Picture, Table

_AXES, _TURNED = "along the axes", "turned by 45 degrees"
_FRAMES = (_AXES, _TURNED)


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        kappas: condition numbers; the curvatures are 1 and 1/kappa.
        lowest: smallest learning rate of the grid.
        per_decade: rates of the grid per factor of ten.
        decades: how many factors of ten the grid spans.
        momenta: values of mu that momentum and Nesterov may choose from.
        within: share of the distance at the start that counts as arrived.
        steps: updates at most; a path that has not arrived counts with all of them.
        shown: condition number of the paths in the picture.
        runs: starts.
    """

    kappas: tuple[float, ...] = (10.0, 30.0, 100.0, 300.0, 1000.0)
    lowest: float = 1e-4
    per_decade: int = 4
    decades: float = 5.0
    momenta: tuple[float, ...] = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97)
    within: float = 0.01
    steps: int = 4000
    shown: float = 30.0
    runs: int = 5

    def rates(self) -> Tensor:
        """The grid of learning rates."""
        count = round(self.decades * self.per_decade) + 1
        return self.lowest * 10 ** (torch.arange(count, dtype=torch.float64) / self.per_decade)


_ADAPTIVE = ("AdaGrad", "RMSProp", "Adam")
_WITH_MU = ("momentum", "Nesterov")


@dataclass(frozen=True)
class _Steps:
    """What a rule needs with the best of its rates (and momenta), chosen for each valley.

    Attributes:
        steps: (kappas, frames, runs).
        rates: the best rate (kappas, frames).
        momenta: the best mu (kappas, frames).
    """

    steps: Tensor
    rates: Tensor
    momenta: Tensor

    def exponents(self, setup: Setup, frame: str) -> list[float]:
        """Of each run, the slope of log steps against log kappa."""
        x = torch.tensor(setup.kappas, dtype=torch.float64).log()
        x = (x - x.mean())[:, None]
        y = self.steps[:, _FRAMES.index(frame)].log()
        slopes: list[float] = ((x * y).sum(0) / (x * x).sum()).tolist()
        return slopes

    def growth(self, frame: str) -> list[float]:
        """Of each run, the steps at the last kappa over those at the first."""
        runs = self.steps[:, _FRAMES.index(frame)]
        ratios: list[float] = (runs[-1] / runs[0]).tolist()
        return ratios


def measure(setup: Setup, seed: int) -> Outcome:
    """Every rule in every valley, with every rate of the grid."""
    starts = _starts(setup, seed)
    found = {rule: _best(setup, rule, starts) for rule in RULES}
    notes = (
        "AdaGrad, RMSProp and Adam scale each parameter by itself: they undo a bad scale of the "
        "parameters, not a bad scale of a combination of them.",
        "Hardly to depend on kappa is not to be fast: RMSProp needs hundreds of steps in every "
        "valley, many more than SGD where kappa is small.",
    )
    pictures = (_growth(setup, found), _paths(setup, found, starts))
    return Outcome(_parts(setup, found), pictures, (_table(setup, found),), notes)


def _starts(setup: Setup, seed: int) -> Tensor:
    """Starts (2, frames, runs): 0.5 to 1.5 along each axis of the valley, either side."""
    random = generator(seed)
    size = 0.5 + torch.rand(2, setup.runs, generator=random, dtype=torch.float64)
    side = torch.randint(2, (2, setup.runs), generator=random) * 2 - 1
    return torch.stack([size * side, rotation(45) @ (size * side)], 1)


def _best(setup: Setup, rule: str, starts: Tensor) -> _Steps:
    """Over the cells (rates, momenta, kappas, frames, runs)."""
    rates = setup.rates()[:, None, None, None, None]
    momenta = setup.momenta if rule in _WITH_MU else (0.0,)
    mu = torch.tensor(momenta, dtype=torch.float64)[None, :, None, None, None]
    hessians = [[valley(kappa, turn) for turn in (0, 45)] for kappa in setup.kappas]
    hessian = torch.stack([torch.stack(row) for row in hessians]).permute(2, 3, 0, 1)
    start = starts[:, None, None, None]
    ways = descend(rule, hessian[:, :, None, None, :, :, None], start, rates, mu, setup.steps)
    limit = setup.within**2 * start.square().sum(0)
    arrived = torch.zeros(1)
    for step, place in enumerate(ways, 1):  # the last step outside, and one more
        inside = place.square().sum(0) <= limit
        arrived = torch.where(inside, arrived, step + 1)
    return _chosen(setup, arrived.clamp(max=setup.steps).double(), momenta)


def _chosen(setup: Setup, arrived: Tensor, momenta: tuple[float, ...]) -> _Steps:
    """The cell with the fewest steps in the mean over the runs."""
    best = arrived.mean(-1).flatten(0, 1).argmin(0)  # (kappas, frames)
    flat = arrived.flatten(0, 1)
    steps = flat.gather(0, best[None, :, :, None].expand(1, -1, -1, flat.shape[-1]))[0]
    rates = setup.rates()[best // len(momenta)]
    return _Steps(steps, rates, torch.tensor(momenta)[best % len(momenta)])


def _parts(setup: Setup, found: dict[str, _Steps]) -> tuple[Part, ...]:
    def exponent(rule: str, frame: str) -> list[float]:
        return found[rule].exponents(setup, frame)

    name = "{}: power of kappa in the steps, valley {}".format
    plain = (
        Part("the steps of SGD grow like kappa", mean_of(name("SGD", _AXES),
             exponent("SGD", _AXES)), at_least=0.9, at_most=1.1),
        *(Part(f"the steps of {rule} grow like sqrt(kappa) when mu is chosen too",
               mean_of(name(rule, _AXES), exponent(rule, _AXES)), at_least=0.4, at_most=0.6)
          for rule in _WITH_MU),
    )  # fmt: skip
    growth = f"steps at kappa = {max(setup.kappas):g} over {min(setup.kappas):g}"
    adaptive = tuple(
        Part(f"the steps of {rule} hardly depend on kappa",
             ratio_of(f"{rule}: {growth}, valley {frame}", found[rule].growth(frame)),
             at_most=1.5, when=f"the valley {'lies' if frame == _AXES else 'is'} {frame}")
        for frame in _FRAMES for rule in _ADAPTIVE
    )  # fmt: skip
    return (*plain, *adaptive)


def _growth(setup: Setup, found: dict[str, _Steps]) -> Picture:
    panels = []
    for place, frame in enumerate(_FRAMES):
        curves = []
        for rule, steps in found.items():
            runs = steps.steps[:, place]
            low, high = runs.min(1).values.tolist(), runs.max(1).values.tolist()
            curves.append(Curve(rule, setup.kappas, tuple(runs.mean(1).tolist()),
                                tuple(low), tuple(high)))  # fmt: skip
        panels.append(Panel(f"Valley {frame}", "condition number kappa", "steps until arrived",
                            tuple(curves), x_log=True, y_log=True))  # fmt: skip
    return Picture(
        "Steps with the best rate for each valley (mean and range over starts)",
        "SGD rises like kappa, momentum and Nesterov like its root; AdaGrad, RMSProp and Adam "
        "are flat along the axes and rise when the valley is turned",
        tuple(panels),
    )


def _paths(setup: Setup, found: dict[str, _Steps], starts: Tensor) -> Picture:
    """The first run of each rule in the valley nearest to ``shown``."""
    row = min(range(len(setup.kappas)), key=lambda at: abs(setup.kappas[at] - setup.shown))
    side = torch.linspace(-2.2, 2.2, 45, dtype=torch.float64)  # holds every start, also turned
    panels = []
    for place, frame in enumerate(_FRAMES):
        hessian, start = valley(setup.kappas[row], 45.0 * place), starts[:, place, 0]
        paths = tuple(_path(rule, steps, (row, place), hessian, start)
                      for rule, steps in found.items())  # fmt: skip
        grid = torch.stack(torch.meshgrid(side, side, indexing="xy"))
        heights = torch.einsum("iyx,ij,jyx->yx", grid, hessian, grid) / 2
        at = tuple(side.tolist())
        panels.append(Landscape(f"Valley {frame}, kappa = {setup.kappas[row]:g}", at, at,
                                tuple(map(tuple, heights.tolist())), paths))  # fmt: skip
    return Picture(
        "The paths, each rule with its best rate",
        "SGD zigzags down the valley; momentum swings; the rules that scale each parameter go "
        "straight along the axes and lose that when the valley is turned",
        tuple(panels),
    )


def _path(rule: str, steps: _Steps, cell: tuple[int, int], hessian: Tensor, start: Tensor) -> Curve:
    count = int(steps.steps[cell][0])
    way = [start, *descend(rule, hessian, start, steps.rates[cell], steps.momenta[cell], count)]
    x, y = torch.stack(way).T.tolist()
    return Curve(rule, tuple(x), tuple(y))


def _table(setup: Setup, found: dict[str, _Steps]) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for rule, steps in found.items():
        for place, frame in enumerate(_FRAMES):
            means = steps.steps[:, place].mean(-1).tolist()
            last = float(steps.rates[-1, place]), float(steps.momenta[-1, place])
            mu = round(last[1], 3) if rule in _WITH_MU else "none"
            rows.append((rule, frame, *means, round(last[0], 4), mu))
    heads = ("update rule", "valley", *(f"steps at kappa = {kappa:g}" for kappa in setup.kappas),
             "best rate at the last", "best mu at the last")  # fmt: skip
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="ill-conditioned-valley",
    title="Which update rules suffer from a long narrow valley?",
    claim="In a valley that is steep one way and flat the other, SGD zigzags and needs steps in "
    "proportion to the condition number kappa, momentum only to its square root; rules that scale "
    "each parameter (AdaGrad, RMSProp, Adam) hardly notice the valley.",
    hypothesis="SGD shrinks the flat distance by 1 - rate/kappa, and the steep one allows no rate "
    "above 2: the steps are about kappa/2 log(1/within). The best momentum shrinks both by "
    "(sqrt(kappa) - 1)/(sqrt(kappa) + 1). Dividing each parameter's gradient by its own size "
    "cancels the curvature along that parameter; that is the whole curvature only if the valley "
    "lies along an axis.",
    set_up="w'Hw/2 in two parameters, curvatures 1 and 1/kappa for kappa in {kappas}, along the "
    "axes or turned by 45 degrees; {runs} starts. Each rule takes the best rate for each valley, "
    "from {lowest} over {decades} factors of ten, {per_decade} per factor; momentum and Nesterov "
    "also the best mu of {momenta}. Arrived: from then on within {within} of the distance at "
    "the start; at most {steps} steps.",
    setup=Setup(),
    sabotage="momentum and Nesterov may only choose mu = 0",
    sabotaged=Setup(momenta=(0.0,)),
    measure=measure,
    next=(
        "let momentum choose from mu = 0.9 alone: how do its steps grow with kappa then?",
        "chainrule curvature 'FC-16, RELU, FC-10' --data digits: the valley of a real network",
    ),
    references=(
        "B. T. Polyak, Some methods of speeding up the convergence of iteration methods, "
        "USSR Computational Mathematics and Mathematical Physics, 1964",
        "J. Duchi, E. Hazan and Y. Singer, Adaptive subgradient methods, JMLR 2011",
        "Stanford CS231n, notes on neural networks, part 3: parameter updates",
    ),
)
