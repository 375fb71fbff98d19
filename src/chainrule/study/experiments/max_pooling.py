"""Max-pooling: what it costs, what it does to a gradient check, to gradients and activations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from chainrule.analysis.describe import describe
from chainrule.analysis.description import LayerDescription
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import digits, generator, net
from chainrule.study.measured import Part, exact, mean_of, ratio_of, worst_of
from chainrule.study.picture import Curve, Panel, Picture, Table, curve

_CHEAP = 0.05  # next to nothing, as a share of the convolution
_ROUNDING = 1e-9
_WRONG, _FINE = 1e-2, 1e-7  # relative errors of a gradient check, CS231n
_NEAR, _FAR = 0.1, 10.0  # distances from a tie in steps of the central difference


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        pool: the pooling, in notation.
        side: of the volume that is counted and timed, pixels.
        channels: of that volume, and filters of the convolution.
        step: h of the central difference.
        windows: of the gradient check, in each run.
        factor: by which the digits are made larger.
        runs: seeds.
    """

    pool: str = "POOL2"
    side: int = 32
    channels: int = 16
    step: float = 1e-5
    windows: int = 16
    factor: float = 1000.0
    runs: int = 5


@dataclass(frozen=True)
class _Through:
    """What one pooling does to a minibatch of digits: its two ends, at two scales."""

    norm: float
    total: float
    share: float
    growth: float


def measure(setup: Setup, seed: int) -> Outcome:
    """Counts, gradient checks, and both ends of the poolings of a net on digits."""
    layers = counted(setup)
    seeds = range(seed, seed + setup.runs)
    near, far = (
        [error_near_tie(setup, distance * setup.step, run) for run in seeds]
        for distance in (_NEAR, _FAR)
    )
    through = [one for run in seeds for one in _through(setup, run)]
    parts = (*_costs(layers, _times(setup, seed)), *_checks(near, far), *_flows(setup, through))
    pictures = (_check_picture(setup, seed), _cost_picture(layers))
    return Outcome(parts, pictures, (_table(layers),), _NOTES)


_NOTES = (
    "Max-pooling hardly computes, but it reads the whole volume once more and writes a quarter "
    "of it: counted in bytes moved it is not cheap.",
    "Within h of a tie the central difference steps over the kink and averages both sides: it is "
    "the check that errs there, not the gradient.",
)


def counted(setup: Setup) -> tuple[LayerDescription, LayerDescription]:
    """A convolution inside a net and the pooling behind it, as ``describe`` counts them."""
    text = f"CONV3-{setup.channels}, CONV3-{setup.channels}, {setup.pool}"
    _, inside, pool = describe(text, input=(setup.channels, setup.side, setup.side)).layers
    return inside, pool


def _costs(
    layers: tuple[LayerDescription, LayerDescription], times: list[float]
) -> tuple[Part, ...]:
    convolution, pool = layers
    kinds = (
        ("FLOPs forward", pool.flops / convolution.flops, "FLOPs"),
        ("FLOPs backward", pool.backward_flops / convolution.backward_flops, "FLOPs"),
        ("bytes moved forward", pool.moved_bytes / convolution.moved_bytes, "bytes moved"),
    )
    counts = tuple(
        Part(
            f"it costs next to nothing beside a convolution, in {name}",
            exact(f"{name} as a share of the convolution's", 100 * share, "%"),
            at_most=100 * _CHEAP, when=f"cost is counted in {unit}",
        )
        for name, share, unit in kinds
    )  # fmt: skip
    clock = Part(
        "and in time on this machine, forward and backward",
        ratio_of("time over the convolution's", times), at_most=_CHEAP, beside=True,
    )  # fmt: skip
    return (*counts, clock)


def _times(setup: Setup, seed: int) -> list[float]:
    """Seconds of the pooling over those of the convolution, forward and backward."""
    shape = (setup.channels, setup.side, setup.side)
    images = torch.randn(16, *shape, generator=generator(seed), requires_grad=True)
    modules = [net(text, seed, shape) for text in (setup.pool, f"CONV3-{setup.channels}")]
    rounds = [[_seconds(module, images) for module in modules] for _ in range(setup.runs + 1)]
    return [pool / convolution for pool, convolution in rounds[1:]]


def _seconds(module: nn.Module, images: Tensor) -> float:
    start = time.perf_counter()
    module(images).sum().backward()
    return time.perf_counter() - start


def error_near_tie(setup: Setup, gap: float, seed: int) -> float:
    """Mean relative error of central differences at the largest input of windows (2 x 2).

    Args:
        setup: its pooling and step.
        gap: distance of the largest input from the second.
        seed: of the inputs and of the upstream gradient.
    """
    random = generator(seed)
    inputs = torch.rand(setup.windows, 1, 2, 2, generator=random, dtype=torch.float64)
    inputs[:, 0, 1, 1] = inputs.flatten(1)[:, :3].amax(1) + gap
    upstream = 1 + torch.rand(setup.windows, 1, 1, 1, generator=random, dtype=torch.float64)
    module = net(setup.pool, seed, (1, 2, 2)).double()
    inputs.requires_grad_()
    (gradient,) = torch.autograd.grad(module(inputs), inputs, upstream)
    with torch.no_grad():
        move = torch.zeros_like(inputs)
        move[:, 0, 1, 1] = setup.step
        change = (module(inputs + move) - module(inputs - move)) * upstream
    numerical, analytic = change.flatten() / (2 * setup.step), gradient[:, 0, 1, 1]
    larger = torch.maximum(numerical.abs(), analytic.abs())
    return float(((numerical - analytic).abs() / larger).mean())


def _checks(near: list[float], far: list[float]) -> tuple[Part, Part]:
    return (
        Part(
            "a gradient check goes wrong within h of a tie",
            mean_of(f"relative error at a distance of {_NEAR:g} h", near), at_least=_WRONG,
        ),
        Part(
            "and nowhere else",
            worst_of(f"mean relative error at a distance of {_FAR:g} h", far),
            at_most=_FINE,
        ),
    )  # fmt: skip


def _through(setup: Setup, seed: int) -> list[_Through]:
    """Each pooling of a net on digits, in float64, for digits as they are and much larger."""
    text = f"CONV3-8, RELU, {setup.pool}, CONV3-8, RELU, {setup.pool}, FC-10"
    module = net(text, seed).double()
    material = digits(64, seed)
    plain, large = (
        _ends(module, factor * material.inputs.double(), material.targets)
        for factor in (1.0, setup.factor)
    )
    return [
        _compare(before, after, bigger)
        for (before, after), (_, bigger) in zip(plain, large, strict=True)
    ]


def _compare(before: Tensor, after: Tensor, bigger: Tensor) -> _Through:
    """Input and output of a pooling, and its output when the digits are larger."""
    back, upstream = cast("Tensor", before.grad), cast("Tensor", after.grad)
    return _Through(
        float(back.norm() / upstream.norm()),
        float((back.sum() - upstream.sum()).abs() / upstream.abs().sum()),
        float((after.max() / before.max()).detach()),
        float((bigger.max() / after.max()).detach()),
    )


def _ends(module: nn.Module, inputs: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Input and output of each pooling, with their gradients."""
    ends, volume = [], inputs
    for layer in module.children():
        before, volume = volume, cast("Tensor", layer(volume))
        volume.retain_grad()
        if "Pool" in type(layer).__name__:
            ends.append((before, volume))
    loss: Any = nn.functional.cross_entropy(volume, targets)
    loss.backward()
    return ends


def _flows(setup: Setup, through: list[_Through]) -> tuple[Part, ...]:
    return (
        Part(
            "gradients do not vanish in it: their sum is kept",
            worst_of("relative change of the sum", [one.total for one in through]),
            at_most=_ROUNDING,
        ),
        Part(
            "and so is their norm, each going to one input",
            worst_of("norm of the gradient, input over output",
                     [one.norm for one in through], "times", largest=False),
            at_least=1 - _ROUNDING,
        ),
        Part(
            "it does not bound activations: the largest one passes",
            worst_of("largest activation after it over that before",
                     [one.share for one in through], "times", largest=False),
            at_least=1,
        ),
        Part(
            "and grows with the input",
            ratio_of(f"growth of the largest activation when digits are {setup.factor:g} times "
                     "as large", [one.growth for one in through]),
            at_least=setup.factor / 10,
        ),
    )  # fmt: skip


def _check_picture(setup: Setup, seed: int) -> Picture:
    gaps = [10 ** (place / 10) for place in range(-20, 21)]
    errors = [error_near_tie(setup, gap * setup.step, seed) for gap in gaps]
    panel = Panel(
        "Gradient check near a tie", "distance of the two largest inputs (steps h)",
        "relative error", (curve("", errors, gaps),), x_log=True, y_log=True,
        marks=((_WRONG, "wrong, by the course"), (_FINE, "fine")),
    )  # fmt: skip
    words = "The relative error is near 1/2 at a tie, falls towards h, and is rounding beyond it"
    return Picture("A kink in the way of the check", words, (panel,))


def _cost_picture(layers: tuple[LayerDescription, LayerDescription]) -> Picture:
    kinds = ("FLOPs forward", "FLOPs backward", "bytes moved")
    convolution, pool = ((layer.flops, layer.backward_flops, layer.moved_bytes) for layer in layers)
    shares = tuple(100 * mine / its for mine, its in zip(pool, convolution, strict=True))
    panel = Panel(
        "Cost of the pooling", "counted in", "share of the convolution's (%)",
        (Curve("", (0.0, 1.0, 2.0), shares, kind="points"),), y_log=True, categories=kinds,
    )  # fmt: skip
    words = "The share of the convolution's cost is below 1 % in FLOPs and large in bytes moved"
    return Picture("Cheap in what?", words, (panel,))


def _table(layers: tuple[LayerDescription, LayerDescription]) -> Table:
    rows = tuple(
        (layer.operation, layer.macs, layer.flops, layer.backward_flops, layer.moved_bytes,
         layer.saved_bytes)
        for layer in layers
    )  # fmt: skip
    heads = ("layer", "MACs forward", "FLOPs forward", "FLOPs backward", "bytes moved forward",
             "bytes kept for the backward pass")  # fmt: skip
    return Table(heads, rows)


EXPERIMENT = Experiment(
    name="max-pooling",
    title="What does max-pooling cost, and what does it do to gradients and activations?",
    claim="Max-pooling costs next to nothing beside a convolution, forward and backward. A "
    "gradient check can go wrong at it, near ties. It neither makes gradients vanish nor bounds "
    "the activations.",
    hypothesis="A window takes one comparison per input, a filter 9 C multiply-accumulates. Each "
    "upstream gradient goes to one input as it is. Where two inputs are nearer than h the largest "
    "changes between x - h and x + h, and the difference averages two slopes, 1 and 0. The "
    "largest of unbounded numbers is unbounded.",
    set_up="{pool} after CONV3-{channels} on a volume of {channels} channels, {side} x {side}, "
    "counted per example; central differences with h = {step} in {windows} windows of 2 x 2 whose "
    "two largest inputs are 0.1 h or 10 h apart; and a net of two convolutions, each followed "
    "by {pool}, on digits and on digits {factor} times as large, in float64; {runs} seeds. Next to "
    "nothing: at most 5 %.",
    setup=Setup(),
    sabotage="average pooling instead of max-pooling",
    sabotaged=Setup(pool="AVGPOOL2"),
    measure=measure,
    next=(
        "chainrule check 'CONV3-4, POOL2, FC-10' --input 1,8,8 tells kinks from wrong gradients",
        "pool 3 x 3 with stride 2: one input can be the largest of several windows, and gets the "
        "sum of their gradients",
    ),
    references=(
        "Stanford CS231n, notes on convolutional networks: pooling layer",
        "Stanford CS231n, notes on neural networks, part 3: gradient checks, kinks",
    ),
)
