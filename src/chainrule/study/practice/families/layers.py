"""Layers: a convolution in numbers and as PyTorch's module."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Convolution:
    """A convolution over a square volume."""

    side: int
    channels: int
    kernel: int
    filters: int
    stride: int = 1
    same: bool = True
    groups: int = 1

    @property
    def padding(self) -> int:
        return (self.kernel - 1) // 2 if self.same else 0

    @property
    def out(self) -> int:
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """For one example."""
        weights = self.kernel**2 * self.channels // self.groups
        return self.out**2 * self.filters * weights

    @property
    def text(self) -> str:
        """The layer in words."""
        padding = f"padding {self.padding} per side" if self.padding else "no padding"
        grouped = f", {self.groups} groups" if self.groups > 1 else ""
        filters = f"{self.filters} filters of {self.kernel}x{self.kernel}"
        return f"{filters}, stride {self.stride}, {padding}{grouped}"

    def module(self) -> nn.Conv2d:
        """The layer in PyTorch."""
        return nn.Conv2d(
            self.channels, self.filters, self.kernel, self.stride, self.padding, groups=self.groups
        )
