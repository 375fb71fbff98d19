"""A fully-connected layer as a convolution: the same scores, and a map of them on more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.analysis.convolutionalize import convolutionalize
from chainrule.analysis.describe import describe
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import digits, evaluated, fit, generator, net
from chainrule.study.measured import Part, ratio_of, worst_of
from chainrule.study.picture import Curve, Panel, Picture, Table, curve

_SIDE, _ROUNDING = 8, 1e-9  # of a digit, pixels; of scores of about 10 in float64
_RIGHT, _WRONG = "channels x height x width", "height x width x channels"
_PADDING = {"does not pad": "p0", "pads": ""}


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        filters: of the convolution.
        units: of the first fully-connected layer.
        steps: updates of the training.
        rate: learning rate (SGD).
        mosaic: digits along each side of the larger image.
        stride: of the sliding window, pixels: that of the pooling.
        order: how the weights of a filter are read.
        runs: seeds.
    """

    filters: int = 8
    units: int = 32
    steps: int = 150
    rate: float = 0.1
    mosaic: int = 4
    stride: int = 2
    order: str = _RIGHT
    runs: int = 5


@dataclass(frozen=True)
class _Compared:
    """One net, trained and turned into a convolution, in float64."""

    parameters: int
    same_size: float
    larger: float
    centre: float
    agreeing: float
    work: float
    faster: float
    scores: Tensor
    slid: Tensor


def measure(setup: Setup, seed: int) -> Outcome:
    """Compare the scores of a net and its convolutional form, one window and many."""
    found = {
        name: [_compare(setup, padding, seed + run) for run in range(setup.runs)]
        for name, padding in _PADDING.items()
    }
    every = [one for runs in found.values() for one in runs]
    parts = (
        Part(
            "the convolution has as many parameters",
            worst_of("difference in parameters", [abs(one.parameters) for one in every]),
            at_most=0,
        ),
        Part(
            "it gives the same scores to rounding on images of the training size",
            worst_of("largest difference of a score", [one.same_size for one in every]),
            at_most=_ROUNDING,
        ),
        *(_sliding(name, runs) for name, runs in found.items()),
        *_savings(every),
    )
    return Outcome(parts, (_picture(setup, found),), (_table(found),), _NOTES)


_NOTES = (
    "With padding a window cut out of the image sees zeros around it where the convolution sees "
    "the neighbouring pixels, so the two differ at the edge of every window.",
    "Only the convolution is shared between windows; the filters that were fully-connected work "
    "as often as there are windows, so the saving is limited by their share of the MACs.",
)


def _sliding(name: str, runs: list[_Compared]) -> Part:
    return Part(
        "on a larger image it gives the map of scores that sliding the net would",
        worst_of(f"largest difference of a score, net that {name}", [one.larger for one in runs]),
        at_most=_ROUNDING,
        when=f"the net {name}",
    )


def _savings(every: list[_Compared]) -> tuple[Part, Part]:
    return (
        Part(
            "the map takes less work than sliding",
            worst_of("MACs of sliding over those of the map", [one.work for one in every],
                     "times", largest=False),
            at_least=1,
        ),
        Part(
            "and less time on this machine",
            ratio_of("time of sliding, all windows in one minibatch, over that of the map",
                     [one.faster for one in every]),
            at_least=1, beside=True,
        ),
    )  # fmt: skip


def _compare(setup: Setup, padding: str, seed: int) -> _Compared:
    text = f"CONV3-{setup.filters} {padding}, RELU, POOL2, FC-{setup.units}, RELU, FC-10"
    material = digits(seed=seed)
    module = net(text, seed)
    fit(module, material, steps=setup.steps, seed=seed, rate=setup.rate)
    dense = convolutionalize(module, (1, _SIDE, _SIDE))
    if setup.order != _RIGHT:
        reorder(dense)
    module, dense = module.double(), dense.double()
    held, image = material.held_inputs.double(), mosaic(material.held_inputs, setup.mosaic, seed)
    with torch.no_grad(), evaluated(module), evaluated(dense):
        one, whole = module(held), dense(held).flatten(1)
        slid, sliding_seconds = _timed(lambda: slide(module, image, setup.stride))
        scores, map_seconds = _timed(lambda: dense(image)[0])
    difference = (slid - scores).abs()
    return _Compared(
        sum(p.numel() for p in dense.parameters()) - sum(p.numel() for p in module.parameters()),
        float((one - whole).abs().max()), float(difference.max()), float(difference.mean()),
        float((slid.argmax(0) == scores.argmax(0)).double().mean()),
        work(setup, padding, slid[0].numel()), sliding_seconds / map_seconds, scores, slid,
    )  # fmt: skip


def reorder(dense: nn.Module) -> None:
    """Read the weights of the first filters that were a layer's rows in the wrong order."""
    layer = next(m for m in dense.modules() if isinstance(m, nn.Conv2d) and m.in_channels > 1)
    filters, channels, height, width = layer.weight.shape
    wrong = layer.weight.detach().reshape(filters, height, width, channels)
    layer.weight.data = wrong.permute(0, 3, 1, 2).contiguous()


def mosaic(images: Tensor, side: int, seed: int) -> Tensor:
    """Digits beside each other as one image (1, 1, 8 side, 8 side), float64."""
    chosen = images[torch.randperm(len(images), generator=generator(seed))[: side * side]]
    rows = chosen.double().view(side, side, _SIDE, _SIDE).transpose(1, 2)
    return rows.reshape(1, 1, side * _SIDE, side * _SIDE)


def slide(module: nn.Module, image: Tensor, stride: int) -> Tensor:
    """Scores (classes, rows, columns) of every window of the training size."""
    windows = image[0, 0].unfold(0, _SIDE, stride).unfold(1, _SIDE, stride)
    rows, columns = windows.shape[:2]
    scores: Tensor = module(windows.reshape(-1, 1, _SIDE, _SIDE))
    return scores.T.reshape(-1, rows, columns)


def _timed(call: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What a call gives, and the quickest of three in seconds."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - start)
    return found, min(seconds)


def work(setup: Setup, padding: str, windows: int) -> float:
    """MACs of the net at every window over those of its convolutional form on the image."""
    volume = _SIDE // 2 if not padding else _SIDE // 2 - 1
    features = f"CONV3-{setup.filters} {padding}, RELU, POOL2"
    layers = f"FC-{setup.units}, RELU, FC-10"
    filters = f"CONV{volume}-{setup.units} p0, RELU, CONV1-10"
    side = _SIDE * setup.mosaic
    once = describe(f"{features}, {layers}", input=(1, _SIDE, _SIDE)).totals.macs
    mapped = describe(f"{features}, {filters}", input=(1, side, side)).totals.macs
    return windows * once / mapped


def _picture(setup: Setup, found: dict[str, list[_Compared]]) -> Picture:
    panels = tuple(_row_panel(setup, name, runs[0]) for name, runs in found.items())
    return Picture(
        "Scores along a row of digits",
        "The score of one class against the place of the window: the points of the sliding net "
        "lie on the line of the convolution without padding, and beside it with padding",
        panels,
    )


def _row_panel(setup: Setup, name: str, one: _Compared) -> Panel:
    best = int(one.scores[:, 0, 0].argmax())
    places = [setup.stride * place for place in range(one.scores.shape[2])]
    line = curve("the map of the convolution", one.scores[best, 0].tolist(), places)
    points = tuple(one.slid[best, 0].tolist())
    return Panel(
        f"The net {name}", "left edge of the window (pixels)", f"score of class {best}",
        (line, Curve("the net, window by window", line.x, points, kind="points")),
    )  # fmt: skip


def _table(found: dict[str, list[_Compared]]) -> Table:
    rows = []
    for name, runs in found.items():
        count = len(runs)
        rows.append((
            f"net that {name}", max(one.larger for one in runs),
            sum(one.centre for one in runs) / count,
            100 * sum(one.agreeing for one in runs) / count, runs[0].work,
        ))  # fmt: skip
    heads = ("network", "largest difference", "mean difference", "same class (% of windows)",
             "MACs of sliding over the map's")  # fmt: skip
    return Table(heads, tuple(rows))


EXPERIMENT = Experiment(
    name="fc-as-convolution",
    title="Is a fully-connected layer a convolution?",
    claim="A fully-connected layer with F units on a volume H x W x C is a convolution with F "
    "filters of H x W: same parameters, same outputs. On a larger image the convolution gives in "
    "one pass the map of scores that sliding the network over it would, at less work.",
    hypothesis="A filter as large as its volume fits at one place only, and there it is the same "
    "scalar product of H W C weights. On a larger image neighbouring windows share most of their "
    "activations, which the map computes once.",
    set_up="CONV3-{filters}, RELU, POOL2, FC-{units}, RELU, FC-10 on digits, with and without "
    "padding, trained by SGD with rate {rate} for {steps} steps, {runs} seeds; then in float64 "
    "on the held-back digits, and on a mosaic of {mosaic} x {mosaic} of them over which a window "
    "of 8 x 8 slides by {stride} pixels. A filter's weights are read as {order}.",
    setup=Setup(),
    sabotage=f"the weights of a filter are read as {_WRONG}",
    sabotaged=Setup(order=_WRONG),
    measure=measure,
    next=(
        "chainrule convolutionalize 'INPUT 8x8x1, CONV3-8 p0, RELU, POOL2, FC-32, RELU, FC-10'",
        "slide by 1 pixel: the map has scores at every second place only, because of the pooling",
    ),
    references=(
        "J. Long, E. Shelhamer and T. Darrell, Fully convolutional networks for semantic "
        "segmentation, CVPR 2015",
        "P. Sermanet et al., OverFeat: integrated recognition, localization and detection using "
        "convolutional networks, ICLR 2014",
        "Stanford CS231n, notes on convolutional networks: converting FC layers to CONV layers",
    ),
)
