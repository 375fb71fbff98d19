"""Minibatch gradients: how near to the full gradient, and what of them depends on the draw."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, fit, generator, net
from chainrule.study.measured import Part, mean_of, ratio_of
from chainrule.study.picture import Curve, Panel, Picture, Table, curve

_AT_RANDOM = "at random with replacement"
_SORTED = "as a run of neighbours in an order sorted by class"
_NEW, _TRAINED = "the weights are new", "the network is trained"

_ANEW = 10_000  # added to the seed, so that the trained networks get draws of their own


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        network: notation.
        sizes: examples per minibatch.
        draws: minibatches of each size.
        order: how their examples are drawn.
        usual: the size at which the direction is judged; one of ``sizes``.
        steps: updates (SGD) after which the network counts as trained.
        rate: learning rate of that training.
        runs: draws of the weights.
    """

    network: str = "FC-16, RELU, FC-10"
    sizes: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    draws: int = 100
    order: str = _AT_RANDOM
    usual: int = 64
    steps: int = 600
    rate: float = 0.3
    runs: int = 5


@dataclass(frozen=True)
class _Found:
    """Of one network: what its minibatch gradients have to do with the full gradient.

    Attributes:
        errors: per size, root mean square of |g_B - g| / |g|.
        cosines: per size, mean cosine of the angle between g_B and g.
        predicted: relative error of one example by the law: sqrt(trace of the covariance) / |g|.
        bias: |mean of all g_B - g| over what chance leaves of it.
    """

    errors: list[float]
    cosines: list[float]
    predicted: float
    bias: float

    def slope(self, sizes: tuple[int, ...]) -> float:
        """Of log error against log size, by least squares."""
        x = torch.tensor(sizes, dtype=torch.float64).log()
        y = torch.tensor(self.errors, dtype=torch.float64).log()
        return float(((x - x.mean()) * y).sum() / ((x - x.mean()) ** 2).sum())


def measure(setup: Setup, seed: int) -> Outcome:
    """Minibatch gradients of new and of trained networks beside the full ones."""
    new, trained = [], []
    for run in range(seed, seed + setup.runs):
        module = net(setup.network, run)
        new.append(_compare(setup, _example_gradients(module, digits()), run))
        fit(module, digits(), steps=setup.steps, seed=run, rate=setup.rate)
        trained.append(_compare(setup, _example_gradients(module, digits()), run + _ANEW))
    parts = (*_laws(setup, new + trained), *_directions(setup, new, trained))
    return Outcome(parts, (_picture(setup, new, trained),), (_table(setup, new, trained),), (
        "The law of the error holds before and after training, but the full gradient has shrunk "
        "more than the noise: a minibatch of the trained network is mostly noise.",
    ))  # fmt: skip


def _example_gradients(module: nn.Module, material: Material) -> Tensor:
    """The gradient of each example's softmax loss (N, P), in float64.

    Of a fully-connected layer: upstream gradient times input for W, upstream alone for b.
    """
    module = copy.deepcopy(module).double()
    seen: list[tuple[Tensor, Tensor]] = []
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    scores = module(material.inputs.double())
    loss = nn.functional.cross_entropy(scores, material.targets, reduction="sum")
    upstream = torch.autograd.grad(loss, [made for _, made in seen])
    rows = []
    for (given, _), above in zip(seen, upstream, strict=True):
        rows += [torch.einsum("nk,nd->nkd", above, given).flatten(1), above]
    return torch.cat(rows, 1).detach()


def _compare(setup: Setup, gradients: Tensor, seed: int) -> _Found:
    """Draw minibatches of every size from the examples' gradients (N, P)."""
    full = gradients.mean(0)
    noise = float((gradients - full).square().sum(1).mean())  # trace of the covariance
    random, length = generator(seed), float(full.norm())
    errors, cosines, offset, chance = [], [], 0.0, 0.0
    for size in setup.sizes:
        drawn = _drawn(setup, size, random) @ gradients / size
        errors.append(math.sqrt(float((drawn - full).square().sum(1).mean())) / length)
        cosines.append(float(torch.cosine_similarity(drawn, full[None]).mean()))
        offset += float((drawn.mean(0) - full).square().sum()) * size
        chance += noise / setup.draws
    return _Found(errors, cosines, math.sqrt(noise) / length, math.sqrt(offset / chance))


def _drawn(setup: Setup, size: int, random: torch.Generator) -> Tensor:
    """How often each example stands in each minibatch (draws, N), in float64."""
    targets = digits().targets
    count = len(targets)
    if setup.order == _AT_RANDOM:
        chosen = torch.randint(count, (setup.draws, size), generator=random)
    else:
        starts = torch.randint(count, (setup.draws, 1), generator=random)
        chosen = targets.argsort(stable=True)[(starts + torch.arange(size)) % count]
    times = torch.zeros(setup.draws, count, dtype=torch.float64)
    return times.scatter_add_(1, chosen, torch.ones_like(chosen, dtype=torch.float64))


def _laws(setup: Setup, found: list[_Found]) -> tuple[Part, ...]:
    """What is needed of new and of trained networks alike."""
    slopes = [one.slope(setup.sizes) for one in found]
    sizes = [
        error * math.sqrt(size) / one.predicted
        for one in found
        for size, error in zip(setup.sizes, one.errors, strict=True)
    ]
    return (
        Part(
            "the relative error falls as 1/sqrt(B)",
            mean_of("slope of log error against log B", slopes),
            at_least=-0.55, at_most=-0.45,
        ),
        Part(
            "it is as large as the spread of the examples' gradients says",
            ratio_of("error over sqrt(trace of covariance / B)", sizes),
            at_least=0.9, at_most=1.1,
        ),
        Part(
            "the mean of the minibatch gradients is the full gradient",
            ratio_of("distance of their mean over what chance leaves",
                     [one.bias for one in found]),
            at_most=1.5,
        ),
    )  # fmt: skip


def _directions(setup: Setup, new: list[_Found], trained: list[_Found]) -> tuple[Part, ...]:
    """Signal above noise: an angle below 45 degrees."""
    place = setup.sizes.index(setup.usual)
    return tuple(
        Part(
            f"a minibatch of {setup.usual} points where the full gradient does, within 45 degrees",
            mean_of(f"cosine with the full gradient when {when}",
                    [one.cosines[place] for one in found]),
            at_least=math.sqrt(0.5), when=when,
        )
        for when, found in ((_NEW, new), (_TRAINED, trained))
    )  # fmt: skip


def _mean(found: list[_Found], what: str) -> list[float]:
    columns = zip(*(getattr(one, what) for one in found), strict=True)
    return [sum(column) / len(column) for column in columns]


def _points(setup: Setup, label: str, values: list[list[float]]) -> Curve:
    """Means over runs with the range of the runs."""
    columns = list(zip(*values, strict=True))
    means = tuple(sum(column) / len(column) for column in columns)
    low, high = tuple(map(min, columns)), tuple(map(max, columns))
    return Curve(label, tuple(map(float, setup.sizes)), means, low, high, kind="points")


def _picture(setup: Setup, new: list[_Found], trained: list[_Found]) -> Picture:
    errors, laws, angles = [], [], []
    for label, found in (("new weights", new), ("trained", trained)):
        predicted = sum(one.predicted for one in found) / len(found)
        law = [predicted / math.sqrt(size) for size in setup.sizes]
        errors.append(_points(setup, label, [one.errors for one in found]))
        laws.append(curve(f"{label}: the law", law, setup.sizes, dashed=True))
        angles.append(_points(setup, label, [one.cosines for one in found]))
    size = "examples per minibatch B"
    return Picture(
        "Minibatch gradients beside the full gradient (range over runs)",
        "The relative error falls along a line of slope -1/2; the cosine rises towards 1",
        (
            Panel("Relative error", size, "|g_B - g| / |g|", (*errors, *laws),
                  x_log=True, y_log=True),
            Panel("Direction", size, "mean cosine", tuple(angles), x_log=True,
                  marks=((math.sqrt(0.5), "45 degrees"),)),
        ),
    )  # fmt: skip


def _table(setup: Setup, new: list[_Found], trained: list[_Found]) -> Table:
    columns = [_mean(found, what) for found in (new, trained) for what in ("errors", "cosines")]
    heads = ("B", "relative error, new", "cosine, new", "relative error, trained",
             "cosine, trained")  # fmt: skip
    return Table(heads, tuple(zip(setup.sizes, *columns, strict=True)))


EXPERIMENT = Experiment(
    name="minibatch-gradients",
    title="How near is the gradient of a minibatch to the full gradient?",
    claim="The gradient of a minibatch approximates the gradient over all examples: it is right "
    "on average, its error falls as 1/sqrt(B), and a small minibatch already points the same way.",
    hypothesis="The mean of B examples drawn with replacement has the covariance of one divided by "
    "B: the relative error is sqrt(trace of covariance / B) / |g|. The cosine is about "
    "1 / sqrt(1 + error^2): it is good while the full gradient is long, and no longer when "
    "training has made it short.",
    set_up="{network} on digits: gradients of all examples one by one, then {draws} minibatches of "
    "each size {sizes}, their examples drawn {order}; {runs} draws of the weights, each before "
    "and after {steps} steps of SGD with rate {rate}. Direction judged at B = {usual}.",
    setup=Setup(),
    sabotage=f"the examples of a minibatch are not drawn at random: they come {_SORTED}",
    sabotaged=Setup(order=_SORTED),
    measure=measure,
    next=(
        "chainrule curvature 'FC-16, RELU, FC-10' --data digits tells the noise scale of a network",
        "draw without replacement: the error then falls faster, and is 0 at B = all examples",
    ),
    references=(
        "Stanford CS231n, notes on optimization: mini-batch gradient descent",
        "S. McCandlish et al., An empirical model of large-batch training, arXiv 2018",
    ),
)
