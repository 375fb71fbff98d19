"""Three by three: weights counted by hand, field by the recursion, accuracy by hand."""

from __future__ import annotations

import pytest

from chainrule.analysis.describe import describe
from chainrule.study.experiments import three_by_three as tested
from chainrule.study.experiments.three_by_three import Setup
from chainrule.study.lesson import digits, fit, net


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("kernel", [3, 5])
def test_weights_and_field_by_hand(channels: int, kernel: int) -> None:
    setup = Setup(kernel=kernel, channels=channels)
    three, one = (describe(text, input=(channels, 8, 8)) for text in tested.stacks(setup).values())
    assert tested.weights_per_square(setup, three) == 3 * kernel**2
    assert tested.weights_per_square(setup, one) == 49
    assert tested.field(three) == 1 + 3 * (kernel - 1)
    assert tested.field(one) == 7


def test_accuracy_is_that_after_the_last_step() -> None:
    setup = Setup(steps=12, channels=2)
    stack = tested.stacks(setup)["three"]
    found = tested._train(setup, stack, 3, 12)
    module = net(f"CONV1-2, RELU, {stack}, POOL2, FC-10", 3)
    material = digits()
    fit(module, material, steps=12, seed=3, batch=16, rate=0.01, update_rule="adam")
    chosen = module(material.held_inputs).argmax(1).tolist()
    right = sum(a == b for a, b in zip(chosen, material.held_targets.tolist(), strict=True))
    assert found[12] == pytest.approx(100 * right / len(chosen))
    assert list(found) == [0, 12]


def test_a_longer_training_passes_through_the_shorter() -> None:
    setup = Setup(steps=12, channels=2)
    stack = tested.stacks(setup)["one of 7 x 7"]
    short, long = (tested._train(setup, stack, 3, steps) for steps in (12, 60))
    assert list(long) == [0, 12, 50, 60]
    assert long[12] == short[12]


def test_accuracy_part_is_paired_among_the_runs_that_went_so_far() -> None:
    three = [{50: 90.0, 400: 95.0}, {50: 80.0, 400: 96.0}, {50: 70.0}]
    one = [{50: 91.0, 400: 93.0}, {50: 83.0, 400: 93.0}, {50: 75.0}]
    early, late = (tested._accuracy({"three": three, "one": one}, n) for n in (50, 400))
    assert (early.measured.value, early.measured.runs) == (-3.0, 3)
    assert (late.measured.value, late.measured.runs) == (2.5, 2)
