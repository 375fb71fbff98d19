"""Fully-connected as convolution: windows cut out one by one, MACs counted by hand."""

from __future__ import annotations

import pytest
import torch

from chainrule.analysis.convolutionalize import convolutionalize
from chainrule.study.experiments.fc_as_convolution import Setup, mosaic, reorder, slide, work
from chainrule.study.lesson import digits, net

TEXT = "CONV3-3 p0, RELU, POOL2, FC-5, RELU, FC-10"


def test_slide_cuts_windows_out_one_by_one() -> None:
    module = net(TEXT, 0).double().eval()
    image = mosaic(digits().held_inputs, 2, 0)
    with torch.no_grad():
        found = slide(module, image, 2)
        assert found.shape == (10, 5, 5)
        for row in range(5):
            for column in range(5):
                top, left = 2 * row, 2 * column
                window = image[:, :, top : top + 8, left : left + 8]
                torch.testing.assert_close(found[:, row, column], module(window)[0])


def test_mosaic_is_made_of_whole_digits() -> None:
    held = digits().held_inputs.double()
    image = mosaic(digits().held_inputs, 2, 0)
    for top in (0, 8):
        for left in (0, 8):
            tile = image[0, :, top : top + 8, left : left + 8]
            assert ((held - tile).abs().flatten(1).sum(1) == 0).any()


@pytest.mark.parametrize(("padding", "side", "features"), [("p0", 32, 6), ("", 32, 8)])
def test_macs_by_hand(padding: str, side: int, features: int) -> None:
    volume, large = features // 2, side - 8 + features
    windows = (large // 2 - volume + 1) ** 2
    once = features**2 * 8 * 9 + 32 * volume**2 * 8 + 10 * 32
    mapped = large**2 * 8 * 9 + windows * (32 * volume**2 * 8 + 10 * 32)
    assert work(Setup(), padding, windows) == pytest.approx(windows * once / mapped)


def test_reordered_weights_are_read_height_first() -> None:
    module = net(TEXT, 0)
    dense = convolutionalize(module, (1, 8, 8))
    reorder(dense)
    row = module.fc1.weight[2].tolist()
    made = dense.fc1.weight
    for number, value in enumerate(row):
        place, channel = divmod(number, 3)
        assert made[2, channel, place // 3, place % 3] == value
