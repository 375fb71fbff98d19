"""Costs: multiplications and numbers counted one by one from what the question says."""

import re

from tests.reference.practice import Sliding, numbers, places, questions, right, whole

from chainrule.study.practice.families.costs import FAMILIES

_FILTERS = (
    r"(\d+) filters of (\d+)x\d+, stride (\d+), (?:padding (\d+)|no padding)(?:.*?(\d+) groups)?"
)


def _convolutions(text: str) -> list[tuple[int, Sliding, int]]:
    """Filters, window and groups of all convolutions that a text describes in brackets."""
    found = []
    for part in re.findall(r"\(([^)]*filters of[^)]*)\)", text):
        match = re.fullmatch(_FILTERS, part.replace(" per side", ""))
        filters, kernel, stride = (int(item) for item in match.groups()[:3])
        padding, groups = int(match[4] or 0), int(match[5] or 1)
        found.append((filters, Sliding(kernel, stride, padding, 1), groups))
    return found


def _macs(side: int, channels: int, filters: int, window: Sliding, groups: int = 1) -> int:
    """One row of one filter after the other."""
    out, total = places(side, window), 0
    for _ in range(filters):
        for _ in range(out):
            for _ in range(window.kernel):
                total += out * window.kernel * (channels // groups)
    return total


def test_layer_macs():
    for question in questions(FAMILIES, "layer-macs"):
        ((filters, window, groups),) = _convolutions(question.text)
        side, channels = whole(r"volume of (\d+)x\d+x(\d+)", question.text)
        total = _macs(side, channels, filters, window, groups)
        total *= 2 if "FLOPs" in question.text else 1
        batch = re.search(r"minibatch of (\d+)", question.text)
        assert right(question).agrees(total * int(batch[1] if batch else 1)), question.text


def _changed(text: str, side: int, channels: int, filters: int, window: Sliding) -> int:
    kernel, stride = window.kernel, window.stride
    side *= 2 if "twice the width and height" in text else 1
    filters *= 2 if "twice as many filters" in text else 1
    channels *= 2 if "twice as many input channels" in text else 1
    stride = 2 if "stride 2 instead" in text else stride
    larger = re.search(r"filters of (\d+)x\d+ instead", text)
    kernel = int(larger[1]) if larger else kernel
    return _macs(side, channels, filters, Sliding(kernel, stride, (kernel - 1) // 2, 1))


def test_macs_ratio():
    for question in questions(FAMILIES, "macs-ratio"):
        text, made = question.text, _convolutions(question.text)
        if question.level < 3:
            ((filters, window, _),) = made
            side, channels = whole(r"volume of (\d+)x\d+x(\d+)", text)
            before = _macs(side, channels, filters, window)
            after = _changed(text, side, channels, filters, window)
        else:
            (one, first, _), (two, second, _) = made
            side, channels = whole(r"Images of (\d+)x\d+x(\d+)", text)
            inner = side // 2 if "pool" in text else side
            before, after = (
                _macs(side, channels, n * one, first) + _macs(inner, n * one, n * two, second)
                for n in (1, 2)
            )
        assert right(question).agrees(after / before), text


def test_activation_bytes():
    for question in questions(FAMILIES, "activation-bytes"):
        text = question.text
        (batch,) = whole(r"minibatch of (\d+)", text)
        if question.level == 1:
            height, width, channels = whole(r"volumes of (\d+)x(\d+)x(\d+)", text)
            each = height * width * channels
        else:
            ((filters, window, _),) = _convolutions(text)
            side, channels = whole(r"images of (\d+)x\d+x(\d+)", text)
            each = filters * places(side, window) ** 2
            if question.level == 3:
                (units,) = whole(r"to (\d+) scores", text)
                each = side**2 * channels + 2 * each + each // 4 + units
        assert right(question).agrees(sum(4 * each for _ in range(batch))), text


def test_training_memory():
    """A parameter and its gradient; a velocity with momentum; two moments with Adam."""
    kept = {"SGD without momentum": 2, "SGD with momentum": 3, "Adam": 4}
    for question in questions(FAMILIES, "training-memory"):
        text = question.text
        if question.level == 1:
            (number,) = whole(r"has ([\d,]+) parameters", text)
        elif question.level == 2:
            inputs, units = whole(r"(\d+) inputs, (\d+) outputs", text)
            number = (inputs + 1) * units
        else:
            (filters,) = whole(r"of (\d+) filters of 3x3 over 3", text)
            inputs, units = whole(r"from (\d+) to (\d+)", text)
            number = filters * 28 + (inputs + 1) * units
        named = re.findall("SGD without momentum|SGD with momentum|Adam", text)
        each = kept[named[0]] - (kept[named[1]] if len(named) > 1 else 0)
        assert right(question).agrees(4 * each * number), text


def test_a_published_count():
    """The course's CONV5-10 on 32x32x3 with padding 2 has 10 (5 x 5 x 3 + 1) = 760 parameters,
    and 750 weights are multiplied at each of 32 x 32 places."""
    assert _macs(32, 3, 10, Sliding(5, 1, 2, 1)) == 32 * 32 * 750
    assert numbers("750 weights") == [750]
