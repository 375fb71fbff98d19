"""Output sizes: windows are laid at every place that the text allows, and counted."""

import re

import pytest
from tests.reference.practice import Sliding, layers, places, questions, right, whole

from chainrule.study.practice.families.output_sizes import FAMILIES


def _window(text: str) -> tuple[Sliding, int, int, int]:
    """Window, padding left and right, and the width of the image."""
    (kernel,) = whole(r"filter of (\d+)x", text)
    (width,) = whole(r"is (\d+) pixels wide", text)
    (stride,) = whole(r"stride (\d+)", text)
    dilated = re.search(r"dilation (\d+)", text)
    zeros = re.search(r"(\d+) zeros? of padding (on each|in all)", text)
    total = 0 if zeros is None else int(zeros[1]) * (2 if zeros[2] == "on each" else 1)
    window = Sliding(kernel, stride, 0, int(dilated[1]) if dilated else 1)
    return window, total // 2, total - total // 2, width


def test_convolution_size_is_the_number_of_places():
    for question in questions(FAMILIES, "convolution-size"):
        window, before, after, width = _window(question.text)
        assert right(question).agrees(places(width, window, before, after)), question.text


def test_padding_keeps_the_width():
    for question in questions(FAMILIES, "padding-to-keep"):
        window, _, _, width = _window(question.text)
        zeros = int(right(question).text)
        total = 2 * zeros if "on each side" in question.text else zeros
        assert places(width, window, 0, total) == width, question.text


def test_size_behind_layers():
    for question in questions(FAMILIES, "size-behind-layers"):
        (width,) = whole(r"is (\d+) pixels wide", question.text)
        for layer in layers(question.text.split("`")[1]):
            width = places(width, layer)
        assert right(question).agrees(width), question.text


def test_input_for_output_is_the_edge_of_all_widths_that_do():
    for question in questions(FAMILIES, "input-for-output"):
        (wanted,) = whole(r"is (\d+) pixels wide", question.text)
        found = []
        for width in range(1, 200):
            out = width
            for layer in layers(question.text.split("`")[1]):
                out = places(out, layer)
            found += [width] if out == wanted else []
        edge = max(found) if "largest" in question.text else min(found)
        assert right(question).agrees(edge), question.text


@pytest.mark.parametrize(("width", "kernel", "stride", "padding", "out"), [(227, 11, 4, 0, 55)])
def test_the_places_of_a_published_layer(width, kernel, stride, padding, out):
    """The first convolution of AlexNet (Krizhevsky et al., 2012), on 227 pixels."""
    assert places(width, Sliding(kernel, stride, padding, 1)) == out
