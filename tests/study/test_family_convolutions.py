"""Layers as convolutions: filters are slid and weights counted as the text says."""

import re

from tests.reference.practice import Sliding, places, questions, right, rows, whole

from chainrule.study.practice.families.convolutions import FAMILIES


def _before_last(notation: str, side: int) -> tuple[int, int]:
    """Width and channels in front of the fully connected layer, for an image of that width."""
    (channels,) = whole(r"INPUT \d+x\d+x(\d+)", notation)
    for layer in notation.split(", ")[1:-1]:
        if layer == "POOL2":
            side = places(side, Sliding(2, 2, 0, 1))
            continue
        kernel, channels = whole(r"CONV(\d+)-(\d+)", layer)
        stride = re.search(r"/(\d+)", layer)
        side = places(side, Sliding(kernel, int(stride[1]) if stride else 1, 0, 1))
    return side, channels


def test_fc_to_convolution():
    for question in questions(FAMILIES, "fc-to-convolution"):
        if question.level == 1:
            units, side, _, channels = whole(
                r"of (\d+) units .* (\d+)x(\d+)x(\d+)\.", question.text
            )
        else:
            notation = question.text.split("`")[1]
            side, channels = _before_last(notation, whole(r"INPUT (\d+)x", notation)[0])
            (units,) = whole(r"FC-(\d+)", notation)
        volume = (side, side, channels, units)
        count = sum(side * side * channels + 1 for _ in range(units))
        assert right(question).agrees(count if question.level == 3 else volume), question.text


def test_score_map():
    for question in questions(FAMILIES, "score-map"):
        notation = question.text.split("`")[1]
        small, _ = _before_last(notation, whole(r"INPUT (\d+)x", notation)[0])
        large, _ = _before_last(notation, whole(r"image of (\d+)x", question.text)[0])
        size = places(large, Sliding(small, 1, 0, 1))
        assert right(question).agrees((size, size, whole(r"FC-(\d+)", notation)[0]))


def test_one_by_one():
    for question in questions(FAMILIES, "one-by-one"):
        found = rows(question.text)
        number = 1 if question.level == 1 else 2
        values, rest = found[number - 1], found[number:]
        for index in range(0, len(rest), 3):
            *filters, biases = rest[index : index + 3]
            out = []
            for weights, bias in zip(filters, biases, strict=True):
                for weight, value in zip(weights, values, strict=True):
                    bias += weight * value
                out.append(max(bias, 0) if question.level > 1 and index == 0 else bias)
            values = out
        assert right(question).agrees(values), question.text


def test_grouped_parameters():
    for question in questions(FAMILIES, "grouped-parameters"):
        text = question.text
        if question.level == 3:
            kernel, channels, filters = whole(r"of (\d+)x\d+ from (\d+) to (\d+)", text)
            before = sum(kernel * kernel * channels for _ in range(filters))
            after = sum(kernel * kernel + filters for _ in range(channels))
            assert right(question).agrees(before / after), text
            continue
        kernel, channels, filters = whole(r"of (\d+)x\d+ has (\d+) .* and (\d+) out", text)
        groups = channels if question.level == 1 else whole(r"in (\d+) groups", text)[0]
        seen = len(range(0, channels, groups))  # every group's first channel, second, ...
        total = sum(kernel * kernel * seen + 1 for _ in range(filters))
        assert right(question).agrees(total), text


def test_a_published_conversion():
    """The course's example: FC-4096 on 7x7x512 is 4096 filters of 7x7; on 384 pixels, which are
    12 x 12 behind five halvings, they find 6 x 6 places (CS231n notes, convolutional networks)."""
    assert places(12, Sliding(7, 1, 0, 1)) == 6
