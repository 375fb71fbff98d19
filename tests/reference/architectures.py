"""Published architectures, written from their papers for the sake of published figures."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """He et al. 2015; the stride stands in the first 1x1 (paper) or in the 3x3 (torchvision)."""

    def __init__(self, channels: int, width: int, stride: int, paper: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if paper else (1, stride)
        self.branch = nn.Sequential(
            *(nn.Conv2d(channels, width, 1, first, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, second, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)),
        )
        same = stride == 1 and channels == 4 * width
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


def resnet50(*, paper: bool) -> nn.Module:
    """ResNet-50 with either placement of the stride."""
    layers: list[nn.Module] = [
        *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, stride if block == 0 else 1, paper))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class DenseLayer(nn.Module):
    """Huang et al. 2017: BN, ReLU, 1x1, BN, ReLU, 3x3; its output joins its input."""

    def __init__(self, channels: int, growth: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 4 * growth, 1, bias=False)),
            *(nn.BatchNorm2d(4 * growth), nn.ReLU()),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], 1)


def densenet121() -> nn.Module:
    """DenseNet-121."""
    layers: list[nn.Module] = [
        *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for count in (6, 12, 24, 16):
        for _ in range(count):
            layers.append(DenseLayer(channels))
            channels += 32
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if count != 16:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))


class SqueezeExcite(nn.Module):
    """Hu et al. 2018: a gate per channel that sees the whole image."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3), keepdim=True)))))


class MobileBlock(nn.Module):
    """Sandler et al. 2018; with a gate that of EfficientNet (Tan and Le 2019)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expand: int, gate: bool
    ) -> None:
        super().__init__()
        wide = inputs * expand
        act = nn.SiLU if gate else nn.ReLU6
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), act()]
        layers += [
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False),
            *(nn.BatchNorm2d(wide), act()),
        ]
        if gate:
            layers.append(SqueezeExcite(wide, max(1, inputs // 4)))
        layers += [nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.layers = nn.Sequential(*layers)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skips else self.layers(x)


def _mobile(stages: tuple[tuple[int, ...], ...], gate: bool, last: int) -> nn.Module:
    act = partial(nn.SiLU) if gate else partial(nn.ReLU6)
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), act()]
    channels = 32
    for expand, outputs, repeats, stride, kernel in stages:
        for place in range(repeats):
            first = stride if place == 0 else 1
            layers.append(MobileBlock(channels, outputs, kernel, first, expand, gate))
            channels = outputs
    layers += [nn.Conv2d(channels, last, 1, bias=False), nn.BatchNorm2d(last), act()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 1000))


def mobilenet_v2() -> nn.Module:
    """MobileNetV2."""
    stages = (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3)),
        *((6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3)),
    )
    return _mobile(stages, gate=False, last=1280)


def efficientnet_b0() -> nn.Module:
    """EfficientNet-B0."""
    stages = (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
        *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
    )
    return _mobile(stages, gate=True, last=1280)


class UNet(nn.Module):
    """Ronneberger et al. 2015 with padding, four times down and up."""

    def __init__(self, width: int = 4, depth: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            self.pair(1 if level == 0 else widths[level - 1], widths[level])
            for level in range(depth + 1)
        )
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], 2, 2) for level in range(depth)
        )
        self.up = nn.ModuleList(
            self.pair(2 * widths[level], widths[level]) for level in range(depth)
        )

    @staticmethod
    def pair(inputs: int, outputs: int) -> nn.Module:
        one, two = (
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        return nn.Sequential(one, nn.ReLU(), two, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, layers in enumerate(self.down):
            x = layers(x if level == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([kept[level], self.grow[level](x)], 1))
        return x
