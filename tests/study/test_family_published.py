"""Published figures: those that are right come out, and those that are wrong do not."""

from __future__ import annotations

import math
import re

import pytest

from chainrule.study.practice.families.published import FAMILIES, _measured, _rows
from chainrule.study.practice.making import make

ACTIVATIONS, UPDATES = FAMILIES


def test_vgg16_of_the_course() -> None:
    """Its rows, as printed, in thousands of numbers: they add up to 15.2M and not to 24M."""
    printed = [150, 3200, 3200, 800, 1600, 1600, 400, 800, 800, 800, 200, 400, 400, 400, 100, 100,
               100, 100, 25, 4.096, 4.096, 1]  # fmt: skip
    rows = [math.prod(shape) for _, shape in _rows("vgg16", 224)]
    assert [3 * 224**2, *rows] == pytest.approx([1000 * row for row in printed], rel=0.01)
    assert _measured("vgg16", 224) == 3 * 224**2 + sum(rows) == 15_237_608


@pytest.mark.parametrize("seed", range(20))
def test_activations_by_hand(seed: int) -> None:
    """Sizes halve at each pooling; channels double until 512."""
    found = make(ACTIVATIONS, 2, seed)
    depth, side = (int(word) for word in re.search(r"VGG(\d+).*?(\d+)x\2x3", found.text).groups())
    stages = {11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}[depth]
    total = 3 * side * side + 4096 + 4096 + 1000
    for count, width in zip(stages, (64, 128, 256, 512, 512), strict=True):
        total += count * width * side * side
        side //= 2
        total += width * side * side
    assert found.grade(f"{total}e-6").right


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_the_well_known_worked_example() -> None:
    """M. Mazur, A step by step backpropagation example, 2015: w1 becomes 0.149780716.

    That follows the weights of the forward pass (w5 = 0.40, w7 = 0.50); with those updated already
    (0.358916480 and 0.511301270) it would be 0.149805.
    """
    inputs, rate, w1, w5, w7 = (0.05, 0.10), 0.5, 0.15, 0.40, 0.50
    h1 = _sigmoid(w1 * inputs[0] + 0.20 * inputs[1] + 0.35)
    h2 = _sigmoid(0.25 * inputs[0] + 0.30 * inputs[1] + 0.35)
    o1, o2 = _sigmoid(w5 * h1 + 0.45 * h2 + 0.60), _sigmoid(w7 * h1 + 0.55 * h2 + 0.60)
    d1, d2 = (o1 - 0.01) * o1 * (1 - o1), (o2 - 0.99) * o2 * (1 - o2)

    def w1_after(to_o1: float, to_o2: float) -> float:
        return w1 - rate * (d1 * to_o1 + d2 * to_o2) * h1 * (1 - h1) * inputs[0]

    assert w1_after(w5, w7) == pytest.approx(0.149780716, abs=5e-10)
    updated = w5 - rate * d1 * h1, w7 - rate * d2 * h1
    assert updated == pytest.approx((0.358916480, 0.511301270), abs=5e-10)
    assert abs(w1_after(*updated) - 0.149780716) > 1e-5


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_updates_by_differences(level: int, seed: int) -> None:
    found = make(UPDATES, level, seed)
    x, w, v, t = (float(re.search(rf"`{name} = (-?[\d.]+)`", found.text)[1]) for name in "xwvt")
    rate = float(re.search(r"rate ([\d.]+)", found.text)[1])
    bend = {1: lambda z: z, 2: lambda z: max(z, 0.0), 3: math.tanh}[level]

    def loss(weight: float) -> float:
        return (v * bend(weight * x) - t) ** 2 / 2

    slope = (loss(w + 1e-6) - loss(w - 1e-6)) / 2e-6
    right = found.expected.value if found.options else found.expected
    assert right.grade(f"{w - rate * slope:.8f}").right
    assert any("updated already" in mistake.why for mistake in found.mistakes)
