"""Receptive fields: the set of pixels that a unit reaches is built layer by layer."""

import math
import re

from tests.reference.practice import Sliding, layers, questions, right, seen, whole

from chainrule.study.practice.families.receptive_fields import FAMILIES


def test_stack_field():
    for question in questions(FAMILIES, "stack-field"):
        assert right(question).agrees(seen(layers(question.text.split("`")[1]))), question.text


def test_layers_to_see_is_the_first_number_that_is_enough():
    for question in questions(FAMILIES, "layers-to-see"):
        (wanted,) = whole(r"at least (\d+) pixels", question.text)
        quoted = [layers(part) for part in question.text.split("`")[1::2]]
        before, repeated = (quoted[0], quoted[1]) if len(quoted) > 1 else ([], quoted[0])
        stack, number = list(before), 0
        while seen(stack) < wanted:
            grown = 2**number if "twice the dilation" in question.text else 1
            stack += [Sliding(one.kernel, one.stride, 0, grown) for one in repeated]
            number += 1
        assert right(question).agrees(number), question.text


def _weights(kernel: int, channels: int, filters: int, bias: int = 0) -> int:
    return sum(
        channels * kernel + (bias if row == 0 else 0)
        for _ in range(filters)
        for row in range(kernel)
    )


def test_large_or_small():
    for question in questions(FAMILIES, "large-or-small"):
        text = question.text
        if question.level == 3:
            kernel, channels = whole(r"conv (\d+)x\d+` with (\d+) channels", text)
            (inner,) = whole(r"`conv 1x1` to (\d+)", text)
            small = _weights(1, channels, inner, 1) + _weights(kernel, inner, inner, 1)
            small += _weights(1, inner, channels, 1)
            assert right(question).agrees(_weights(kernel, channels, channels, 1) - small), text
            continue
        channels, depth, kernel = whole(r"(\d+) channels in.* (\d+) layers `conv (\d+)x", text)
        stack = depth * _weights(kernel, channels, channels)
        size = seen([Sliding(kernel, 1, 0, 1)] * depth)
        single = _weights(size, channels, channels)
        assert right(question).agrees(stack if question.level == 1 else single - stack), text


def test_equal_fields():
    for question in questions(FAMILIES, "equal-fields"):
        wanted = seen(layers(question.text.split("`")[1]))
        assert any(option.right for option in question.options)
        for option in question.options:
            assert (seen(layers(option.text)) == wanted) == option.right, option.text
            assert re.search(r"sees \d+ pixels", option.why)


def test_a_published_stack():
    """Three layers of 3x3 see 7x7 with 27 C^2 weights for 49 C^2 (Simonyan and Zisserman, 2015)."""
    assert seen([Sliding(3, 1, 0, 1)] * 3) == 7
    assert math.isclose(_weights(7, 10, 10) / (3 * _weights(3, 10, 10)), 49 / 27)
