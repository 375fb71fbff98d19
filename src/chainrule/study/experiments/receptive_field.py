"""Receptive field and output width: two formulas against what random stacks really do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import generator
from chainrule.study.measured import Part, exact
from chainrule.study.picture import Curve, Panel, Picture, Table

Layer = tuple[int, int, int]  # k, s and padding on each side


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        stacks: random stacks of convolutions.
        deepest: most layers of a stack.
        widest: largest kernel k.
        longest: largest stride s.
        thickest: most padding on each side; p of the formula is twice that.
        spare: pixels by which the input is wider than it must be, at most.
        dilation: of every convolution, which the formula does not know of.
    """

    stacks: int = 200
    deepest: int = 5
    widest: int = 5
    longest: int = 3
    thickest: int = 2
    spare: int = 20
    dilation: int = 1


@dataclass(frozen=True)
class _Stack:
    """One stack: what the formulas say and what was found."""

    layers: tuple[Layer, ...]
    formula: int
    support: int
    holes: int
    widths: tuple[tuple[Fraction, int], ...]


def field_by_formula(layers: tuple[Layer, ...]) -> int:
    """n = k + s (m - 1), from the last layer, of which a unit sees m = 1, to the input."""
    field = 1
    for kernel, stride, _ in reversed(layers):
        field = kernel + stride * (field - 1)
    return field


def width_by_formula(width: int, layer: Layer) -> Fraction:
    """(w - k + p) / s + 1 with p the padding of both sides together; not always whole."""
    kernel, stride, padding = layer
    return Fraction(width - kernel + 2 * padding, stride) + 1


def measure(setup: Setup, seed: int) -> Outcome:
    """Compare both formulas with the support of the input gradient and with real widths."""
    stacks = [_try(setup, seed * setup.stacks + number) for number in range(setup.stacks)]
    widths = [pair for stack in stacks for pair in stack.widths]
    whole = [pair for pair in widths if pair[0].denominator == 1]
    broken = [pair for pair in widths if pair[0].denominator > 1]
    parts = (
        Part(
            "n = k + s(m - 1), layer by layer backwards, is the receptive field",
            exact("largest difference from the support of the input gradient",
                  max(abs(stack.formula - stack.support) for stack in stacks), "pixels"),
            at_most=0,
        ),
        _width_part(whole, "(w - k + p)/s is whole"),
        _width_part(broken, "it is not"),
        Part(
            "rounded down it is the width in PyTorch",
            exact("largest difference from the real width",
                  max(abs(math.floor(width) - real) for width, real in widths), "pixels"),
            at_most=0, beside=True,
        ),
    )  # fmt: skip
    return Outcome(parts, (_picture(stacks, widths),), (_table(stacks, whole, broken),),
                   _notes(stacks))  # fmt: skip


def _width_part(pairs: list[tuple[Fraction, int]], when: str) -> Part:
    difference = max(float(abs(width - real)) for width, real in pairs)
    return Part(
        "(w - k + p)/s + 1 is the output width",
        exact(f"largest difference from the real width of {len(pairs)} layers", difference,
              "pixels"),
        at_most=0, when=when,
    )  # fmt: skip


def _notes(stacks: list[_Stack]) -> tuple[str, ...]:
    holes = sum(stack.holes > 0 for stack in stacks)
    return (
        "Where the quotient is not whole PyTorch rounds down: the last columns of the input, up "
        "to s - 1 of them, are not read by any window.",
        f"In {holes} of {len(stacks)} stacks a unit does not see every pixel inside its field, as "
        "where a stride exceeds its kernel; n counts from the first pixel to the last.",
    )


def _try(setup: Setup, seed: int) -> _Stack:
    layers = draw(setup, seed)
    module, width = build(layers, setup.dilation, seed), input_width(setup, layers, seed)
    image = torch.zeros(1, 1, width, dtype=torch.float64, requires_grad=True)
    volumes = [image]
    for convolution in module:
        volumes.append(convolution(volumes[-1]))
    real = [volume.shape[-1] for volume in volumes]
    support, holes = _support(volumes[-1], image)
    widths = zip((width_by_formula(w, layer) for w, layer in zip(real, layers, strict=False)),
                 real[1:], strict=True)  # fmt: skip
    return _Stack(layers, field_by_formula(layers), support, holes, tuple(widths))


def draw(setup: Setup, seed: int) -> tuple[Layer, ...]:
    """The layers of a random stack, input first."""
    random = generator(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=random))

    return tuple(
        (number(1, setup.widest), number(1, setup.longest), number(0, setup.thickest))
        for _ in range(number(1, setup.deepest))
    )


def build(layers: tuple[Layer, ...], dilation: int, seed: int) -> nn.Sequential:
    """The convolutions of a stack along one axis, float64, random weights, nothing between."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv1d(1, 1, k, s, padding, dilation, dtype=torch.float64) for k, s, padding in layers)
    )


def input_width(setup: Setup, layers: tuple[Layer, ...], seed: int) -> int:
    """Wide enough that the unit in the middle sees no padding, plus a random rest.

    A stack sees at most as many pixels of padding on a side as the padding of all its layers, each
    counted in input pixels by the strides before it.
    """
    outside, jump = 0, 1
    for _, stride, padding in layers:
        outside, jump = outside + jump * padding, jump * stride
    field = setup.dilation * field_by_formula(layers)
    spare = int(torch.randint(setup.spare + 1, (1,), generator=generator(seed + 10**6)))
    return field + 2 * (outside + jump) + spare


def _support(output: torch.Tensor, image: torch.Tensor) -> tuple[int, int]:
    """Pixels from the first to the last with a gradient, and those between without one."""
    (gradient,) = torch.autograd.grad(output[0, 0, output.shape[-1] // 2], image)
    places = gradient[0, 0].nonzero().flatten()
    extent = int(places[-1] - places[0]) + 1
    return extent, extent - len(places)


def _picture(stacks: list[_Stack], widths: list[tuple[Fraction, int]]) -> Picture:
    formula = tuple(float(stack.formula) for stack in stacks)
    support = tuple(float(stack.support) for stack in stacks)
    line = (1.0, max(*formula, *support))
    rest = tuple(float(width % 1) for width, _ in widths)
    short = tuple(float(width - real) for width, real in widths)
    return Picture(
        "Two formulas against what random stacks do",
        "Left: every stack lies on the diagonal. Right: the width falls short of the formula by "
        "just the fraction that rounding down takes",
        (
            Panel("Receptive field", "by the formula (pixels)",
                  "support of the input gradient (pixels)",
                  (Curve("stacks", formula, support, kind="points"),
                   Curve("equal", line, line, dashed=True))),
            Panel("Output width", "fraction of (w - k + p)/s", "formula less real width (pixels)",
                  (Curve("layers", rest, short, kind="points"),)),
        ),
    )  # fmt: skip


def _table(
    stacks: list[_Stack],
    whole: list[tuple[Fraction, int]],
    broken: list[tuple[Fraction, int]],
) -> Table:
    fields = [stack.formula for stack in stacks]
    return Table(
        ("what", "number"),
        (
            ("stacks", len(stacks)),
            ("stacks whose field has holes", sum(stack.holes > 0 for stack in stacks)),
            ("smallest receptive field (pixels)", min(fields)),
            ("largest receptive field (pixels)", max(fields)),
            ("layers with a whole quotient", len(whole)),
            ("layers without", len(broken)),
        ),
    )


EXPERIMENT = Experiment(
    name="receptive-field",
    title="Do the formulas for receptive field and output width hold for any stack?",
    claim="A unit that sees m units of the layer below, whose kernel is k and stride s, sees "
    "n = k + s(m - 1) units of the one below that: applied backwards it gives the receptive "
    "field. A layer of width w becomes (w - k + p)/s + 1 wide, p being the padding of both sides.",
    hypothesis="The first and the last of m windows start s(m - 1) apart, and the last is k wide. "
    "The first window starts at 0 and the last at w + p - k at most, in steps of s; where that "
    "is not a whole number of steps there is no window at the end.",
    set_up="{stacks} random stacks of 1 to {deepest} convolutions along one axis, k from 1 to "
    "{widest}, s from 1 to {longest}, padding on each side up to {thickest}, dilation {dilation}, "
    "random weights in float64; the input is wide enough for the middle unit, and up to {spare} "
    "pixels wider. The field is the extent of the gradient of that unit with respect to the input.",
    setup=Setup(),
    sabotage="every convolution is dilated by 2, which the formula does not know of",
    sabotaged=Setup(dilation=2),
    measure=measure,
    next=(
        "chainrule describe vgg16 --input 3,224,224 has the field of every layer of a large net",
        "with dilation d the kernel spans d(k - 1) + 1: put that in place of k and try again",
    ),
    references=(
        "V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, 2016",
        "A. Araujo, W. Norris and J. Sim, Computing receptive fields of convolutional neural "
        "networks, Distill 2019",
        "Stanford CS231n, notes on convolutional networks: spatial arrangement",
    ),
)
