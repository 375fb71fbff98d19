"""A 1-D ConvNet with letters: one filter at several places, ReLU, max-pooling, a linear layer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from chainrule.study.practice.expected import Formula
from chainrule.study.practice.families.derived import (
    AUTOGRAD,
    Given,
    as_autograd_has_it,
    gradient,
)
from chainrule.study.practice.question import Draft, Family, Mistake

_TIES = "`1{a > b}` is 1 where a > b, else 0; `1{a > b, a > 0}` wants both; ties do not matter"


@dataclass(frozen=True)
class _ConvNet:
    """The sizes of a 1-D ConvNet.

    Attributes:
        kernel: weights of the filter.
        places: where it is put; z1 to zn.
        stride: of the convolution.
        window: values that pooling takes the largest of.
        hop: stride of pooling.
        relu: whether a ReLU stands behind pooling.
    """

    kernel: int
    places: int
    stride: int
    window: int
    hop: int
    relu: bool

    @property
    def pooled(self) -> int:
        return (self.places - self.window) // self.hop + 1

    def input_of(self, place: int, weight: int) -> int:
        """The x that a weight meets at a place, both from 1."""
        return (place - 1) * self.stride + weight

    def windows_of(self, place: int) -> list[int]:
        """The pooled values that read z of a place."""
        return [m for m in range(1, self.pooled + 1) if place in self.window_of(m)]

    def window_of(self, pooled: int) -> range:
        begun = (pooled - 1) * self.hop + 1
        return range(begun, begun + self.window)

    @property
    def convolution(self) -> list[str]:
        return [
            f"z{i} = "
            + " + ".join(f"k{j}*x{self.input_of(i, j)}" for j in range(1, self.kernel + 1))
            + " + b"
            for i in range(1, self.places + 1)
        ]

    @property
    def pooling(self) -> list[str]:
        zero = ", 0" if self.relu else ""
        return [
            f"v{m} = max({', '.join(f'z{i}' for i in self.window_of(m))}{zero})"
            for m in range(1, self.pooled + 1)
        ]

    @property
    def linear(self) -> str:
        return "y = " + " + ".join(f"w{m}*v{m}" for m in range(1, self.pooled + 1)) + " + a"

    def passed(self, place: int, pooled: int, relu: bool = True) -> str:
        """The condition under which a pooled value passes its gradient to a place."""
        others = [f"z{place} > z{i}" for i in self.window_of(pooled) if i != place]
        zero = [f"z{place} > 0"] if self.relu and relu else []
        return f"1{{{', '.join([*others, *zero])}}}"


def _drawn(drawn: Random, level: int) -> _ConvNet:
    while True:
        window, hop = drawn.choice(((2, 1), (2, 2), (3, 1), (3, 2)))
        found = _ConvNet(drawn.choice((2, 3)), drawn.choice((3, 4)), drawn.choice((1, 1, 2)),
                         window, hop, level == 3 or drawn.random() < 0.5)  # fmt: skip
        if 2 <= found.pooled <= 3:
            return found


def _convnet(drawn: Random, level: int) -> Draft:
    """Level 2: the filter, bias or input from given gradients by z. Level 3: back through all."""
    net = _drawn(drawn, level)
    return _of_convolution(net, drawn) if level == 2 else _of_pooling(net, drawn)


def _of_convolution(net: _ConvNet, drawn: Random) -> Draft:
    places = range(1, net.places + 1)
    inputs = net.input_of(net.places, net.kernel)
    kind = drawn.choice("kkxxb")
    which = drawn.randint(1, net.kernel if kind == "k" else inputs)
    wrt = "b" if kind == "b" else f"{kind}{which}"
    pairs = [
        (i, j) for i in places for j in range(1, net.kernel + 1)
        if (j == which if kind == "k" else net.input_of(i, j) == which)
    ]  # fmt: skip
    if kind == "b":
        terms = [f"d{i}" for i in places]
        swapped = [f"d{i}*b" for i in places]
    elif kind == "k":
        terms = [f"d{i}*x{net.input_of(i, j)}" for i, j in pairs]
        swapped = [f"d{i}*k{which}" for i in places]
    else:
        terms = [f"d{i}*k{j}" for i, j in pairs]
        swapped = [f"d{i}*x{which}" for i, _ in pairs]
    turned = {
        "k": [f"d{i}*x{i}" for i in places],
        "x": [f"d{i}*k{net.kernel + 1 - j}" for i, j in pairs],
        "b": ["d1"],
    }[kind]
    names = (*(f"d{i}" for i in places), *(f"x{i}" for i in range(1, inputs + 1)),
             *(f"k{i}" for i in range(1, net.kernel + 1)), "b")  # fmt: skip
    given = tuple((f"z{i}", f"d{i}") for i in places)
    total = " + ".join(terms)
    upstream = [f"d{i}" for i in places]
    return _drafted(
        net, wrt, names, given, "; ".join(net.convolution),
        f"with `dL/dz{{i}} = d{{i}}` known for i = 1 to {net.places}".replace("{i}", "i"),
        (
            Mistake(terms[0] if len(terms) > 1 else "0", "counts one use alone" if len(terms) > 1
                    else "finds no path"),
            Mistake(f"({total})/{net.places}", "averages over the places, but all uses add up"),
            Mistake(" + ".join(swapped), "multiplies by the wrong factor of each product"),
            Mistake(" + ".join(turned), "counts places without the shift of the filter" if
                    kind == "k" else "turns the filter around" if kind == "x" else
                    "counts one use alone"),
            Mistake(" + ".join(upstream) if kind != "b" else "1", "forgets the local gradients"
                    if kind != "b" else "forgets the upstream gradients"),
            Mistake("*".join(upstream), "multiplies the paths, but they add up"),
        ),
    )  # fmt: skip


def _of_pooling(net: _ConvNet, drawn: Random) -> Draft:
    """By z, from gradients by the pooled values, or by y through the linear layer."""
    place = drawn.randint(1, net.places)
    while not net.windows_of(place):
        place = drawn.randint(1, net.places)
    linear = drawn.random() < 0.5
    read = net.windows_of(place)
    ups = {m: f"d*w{m}" if linear else f"d{m}" for m in read}
    terms = [f"{ups[m]}*{net.passed(place, m)}" for m in read]
    values = range(1, net.pooled + 1)
    if linear:
        given: Given = (("y", "d"),)
        told = "with `dL/dy = d` known"
        names = (*(f"z{i}" for i in range(1, net.places + 1)), *(f"w{m}" for m in values), "d")
    else:
        given = tuple((f"v{m}", f"d{m}") for m in values)
        told = f"with `dL/dvi = di` known for i = 1 to {net.pooled}"
        names = (*(f"z{i}" for i in range(1, net.places + 1)), *(f"d{m}" for m in values))
    inputs = drawn.random() < 0.4
    factor, wrt = "", f"z{place}"
    if inputs:  # one more step, into the input that only this place sees, if there is one
        seen = [x for x in range(1, net.input_of(net.places, net.kernel) + 1)
                if _seen_by(net, x) == [place]]  # fmt: skip
        if seen:
            weight = seen[0] - (place - 1) * net.stride
            wrt, factor = f"x{seen[0]}", f"*k{weight}"
            names = (*names, f"k{weight}")
    right = " + ".join(f"{term}{factor}" for term in terms)
    plain = [f"{ups[m]}*{net.passed(place, m, relu=False)}{factor}" for m in read]
    lines = [*net.convolution, *net.pooling, *([net.linear] if linear else [])]
    flipped = right.replace(">", "<")
    everywhere = " + ".join(f"{ups[m]}{factor}" for m in read)
    return _drafted(
        net, wrt, names, given, "; ".join(lines), told,
        (
            Mistake(" + ".join(plain), "forgets the ReLU"),
            Mistake(everywhere, "forgets the conditions: only the largest gets the gradient"),
            Mistake(flipped, "routes gradients to the smaller values"),
            Mistake(f"({right})/{net.window}", "shares each gradient over its window"),
            Mistake(f"{terms[0]}{factor}" if len(read) > 1 else f"z{place}*{right}",
                    "counts one window alone" if len(read) > 1 else "multiplies by z"),
            Mistake(re.sub(r"\*w\d", "", right) if linear else f"{right} + d1", "forgets the "
                    "weights of the linear layer" if linear else "adds a window once too often"),
        ),
    )  # fmt: skip


def _seen_by(net: _ConvNet, x: int) -> list[int]:
    return [
        i
        for i in range(1, net.places + 1)
        for j in range(1, net.kernel + 1)
        if net.input_of(i, j) == x
    ]


def _drafted(
    net: _ConvNet,
    wrt: str,
    names: tuple[str, ...],
    given: Given,
    equations: str,
    told: str,
    mistakes: tuple[Mistake, ...],
) -> Draft:
    right = gradient(equations, wrt, given)
    lines = "\n".join(f"`{line}`" for line in equations.split("; "))
    return Draft(
        text=f"A 1-D ConvNet puts one filter on its input:\n{lines}\nWrite `dL/d{wrt}`, {told}.",
        conventions=(_TIES, f"a formula of {', '.join(names)}"),
        expected=Formula(right, names),
        proved=as_autograd_has_it(right, equations, wrt, given),
        way=AUTOGRAD,
        mistakes=mistakes,
        solution=(
            "the gradients of all values that read it add up, each times its local gradient",
            "max passes its gradient to the largest alone"
            if "max" in equations
            else "the filter is shared: its weights get one term for each place",
            f"dL/d{wrt} = {right}",
        ),
    )


CONVNETS = (
    Family("convnet-formula", "backpropagation", "gradient of a 1-D ConvNet as a formula", (2, 3),
           _convnet),
)  # fmt: skip
