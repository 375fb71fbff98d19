"""Networks side by side; fully-connected layers as convolutions; effective fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.reference.architectures import MobileBlock
from torch import Tensor, nn

from chainrule.analysis.compare import compare
from chainrule.analysis.convolutionalize import convolutionalization, convolutionalize
from chainrule.analysis.describe import describe
from chainrule.analysis.effective import effective_field
from chainrule.errors import NetworkError, ShapeError
from chainrule.network.source import network


def test_three_small_windows_against_a_large_one() -> None:
    answer = compare(
        ["INPUT 32x32x16, [CONV3-16 b0, RELU] x 3", "INPUT 32x32x16, CONV7-16 b0, RELU"]
    )
    assert answer.weights_of_channels == ("27 C^2", "49 C^2")
    assert answer.rows["receptive field"] == ("7x7", "7x7")
    assert answer.rows["parameters"] == (27 * 256, 49 * 256)
    assert answer.rows["non-linearities"] == (3, 1)
    with_bias = compare(["INPUT 8x8x4, CONV3-4", "INPUT 8x8x4, CONV5-4"])
    assert with_bias.weights_of_channels == ("9 C^2", "25 C^2")
    other = compare(["INPUT 8x8x4, CONV3-8", "INPUT 8x8x4, CONV5-4"])
    assert other.weights_of_channels == ("", "25 C^2")


def test_comparing_wants_two() -> None:
    with pytest.raises(NetworkError, match="wants two or more"):
        compare(["lenet5"])
    with pytest.raises(NetworkError, match="got 1 names for 2"):
        compare(["lenet5", "lenet5"], names=["a"])


# -- convolutionalize ----------------------------------------------------------------------


class Functional(nn.Module):
    """Flattens by view, pools by a function, batch norm on vectors, dropout in between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc1 = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 4 * 4, 8)
        self.norm, self.fc2, self.drop = nn.BatchNorm1d(8), nn.Linear(8, 3), nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = self.drop(x.view(x.size(0), -1))
        return F.log_softmax(self.fc2(F.relu(self.norm(self.fc1(x)))), 1)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = MobileBlock(2, 4, 3, 2, 2, gate=True)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(2), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.block(x)), 1))


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet5": ("lenet5", (1, 28, 28)),
    "global pooling": ("INPUT 12x12x2, CONV3-4, RELU, GAP, FC-5", (2, 12, 12)),
    "functional": (Functional(), (1, 8, 8)),
    "gated": (Gated(), (2, 16, 16)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_the_same_and_a_larger_image_gives_a_map(name: str) -> None:
    module, shape = NETWORKS[name]
    module = network(module) if isinstance(module, str) else module
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    module.eval()
    dense = convolutionalize(module, shape)
    x = torch.randn(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(dense(x).flatten(1), module(x).flatten(1))
        wide = torch.randn(1, shape[0], shape[1] + 8, shape[2] + 8)
        scores = dense(wide)
    assert scores.dim() == 4
    assert min(scores.shape[2:]) > 1
    count = sum(item.numel() for item in module.parameters())
    assert sum(item.numel() for item in dense.parameters()) == count


def test_the_score_map_is_what_sliding_the_network_gives() -> None:
    """Each score of the map is that of a window of the image, cut out and scored alone."""
    module = network("INPUT 8x8x1, CONV3-4 p0, RELU, POOL2, FC-3").eval()
    dense = convolutionalize(module, (1, 8, 8))
    image = torch.randn(1, 1, 14, 12)
    with torch.no_grad():
        scores = dense(image)
        for row in range(scores.shape[2]):
            for column in range(scores.shape[3]):
                window = image[:, :, 2 * row : 2 * row + 8, 2 * column : 2 * column + 8]
                torch.testing.assert_close(scores[:, :, row, column], module(window))


def test_the_network_itself_stays_as_it_was() -> None:
    module = network("lenet5")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    answer, _ = convolutionalization(module, (1, 28, 28), (40, 32))
    assert isinstance(module.fc1, nn.Linear)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert answer.larger_output == (10, 4, 2)
    assert answer.largest_difference < 1e-6


def test_the_new_network_can_be_described() -> None:
    """LeNet-5 on its training size does the same work as before, layer by layer."""
    described = describe(convolutionalize("lenet5"), (1, 28, 28))
    before = describe("lenet5")
    assert (described.totals.macs, described.totals.parameters) == (
        before.totals.macs,
        before.totals.parameters,
    )
    assert not [finding.code for finding in described.findings if finding.code == "unused-layer"]
    wider = describe(convolutionalize("lenet5"), (1, 40, 40))
    assert wider.layers[-1].output[-2:] == (4, 4)


class ByFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 16))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (ByFunction(), (1, 4, 4), "calls linear as a function: use nn.Linear"),
        (Branching(), (1, 4, 4), "cannot be rewritten"),
        (nn.Conv2d(1, 2, 3), (1, 4, 4), "no fully-connected layer"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9, 2)), (1, 4, 4), "win"),
        (nn.Linear(4, 2), (4,), r"wants an image \(C, H, W\)"),
    ],
)
def test_what_cannot_be_rewritten_says_why(
    module: nn.Module, shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises((NetworkError, ShapeError), match=words):
        convolutionalize(module, shape)


def test_a_smaller_image_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least the training size 28x28"):
        convolutionalization("lenet5", None, (20, 30))


# -- effective receptive field -------------------------------------------------------------


def test_one_convolution_sees_its_window_with_the_weights_as_importance() -> None:
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(1.0, 10).view(1, 1, 3, 3))
    found = effective_field(nn.Sequential(conv), (1, 9, 9), count=3)
    window = found.importance[3:6, 3:6]
    np.testing.assert_allclose(window, np.arange(1, 10).reshape(3, 3) / 9, atol=1e-6)
    assert found.importance.sum() == pytest.approx(window.sum())
    assert found.unit == (4, 4)
    assert found.box == ((3, 5), (3, 5))
    assert (found.size, found.share) == (3.0, 1.0)


def test_the_effective_field_is_smaller_and_lies_inside_the_theoretical_one() -> None:
    found = effective_field("INPUT 40x40x1, [CONV3-4] x 12", count=8)
    (top, bottom), (left, right) = found.box
    outside = found.importance.copy()
    outside[top : bottom + 1, left : right + 1] = 0
    assert outside.max() == 0
    assert found.theoretical.size == (25, 25)
    assert found.size < 25


def test_the_spread_of_uniform_weights_is_that_of_a_sum_of_uniform_steps() -> None:
    """n convolutions of k ones: variance n (k^2 - 1) / 12 (Luo et al. 2016, section 2.2)."""
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(6)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    found = effective_field(nn.Sequential(*layers), (1, 41, 41), count=1)
    assert found.sigma[0] == pytest.approx((6 * 8 / 12) ** 0.5)


def test_given_images_and_a_named_layer() -> None:
    module = network("INPUT 16x16x3, CONV3-4, RELU, POOL2, CONV3-4")
    images = torch.rand(5, 3, 16, 16)
    found = effective_field(module, layer="conv2", images=images)
    assert (found.images, found.layer, found.image.shape) == (5, "conv2", (16, 16, 3))
    assert all(item.grad is None for item in module.parameters())
    for words, arguments in {
        "did you mean 'conv2'": {"layer": "conv22"},
        "wants (N, C, H, W)": {"images": torch.rand(3, 16, 16)},
    }.items():
        with pytest.raises(ShapeError) as caught:
            effective_field(module, (3, 16, 16), **arguments)
        assert words in str(caught.value)
    with pytest.raises(ShapeError, match="wants an image"):
        effective_field(nn.Linear(3, 2))
