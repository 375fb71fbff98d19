"""Windows: filters and pools that slide along an axis, in numbers and run by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

STRIDE_ONE = "stride 1 and no padding where nothing else is said"
FLOORS = "a quotient that is not whole is rounded down, as PyTorch does"


@dataclass(frozen=True)
class Window:
    """What slides over an image; padding is the total of both sides."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    pools: bool = False

    @property
    def span(self) -> int:
        """Pixels from its first to its last."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def text(self) -> str:
        """Such as "conv 5x5, stride 2, padding 1 per side"."""
        parts = [f"{'pool' if self.pools else 'conv'} {self.kernel}x{self.kernel}"]
        parts += [f"stride {self.stride}"] if self.stride > 1 else []
        parts += [f"dilation {self.dilation}"] if self.dilation > 1 else []
        parts += [f"padding {self.padding // 2} per side"] if self.padding else []
        return ", ".join(parts)

    def out(self, width: int) -> int:
        """(w + P - k) / s + 1, rounded down."""
        return (width + self.padding - self.span) // self.stride + 1

    def written(self, width: int) -> str:
        """The formula with its numbers put in."""
        above = f"({width} + {self.padding} - {self.span})"
        whole = (width + self.padding - self.span) % self.stride == 0
        places = f"{above} / {self.stride}" if whole else f"floor({above} / {self.stride})"
        return f"{places} + 1 = {self.out(width)}"


def listed(windows: Sequence[Window]) -> str:
    """Layers one after another."""
    return " -> ".join(window.text for window in windows)


def widths(windows: Sequence[Window], width: int) -> list[int]:
    """The width of the input and that behind each layer."""
    found = [width]
    for window in windows:
        found.append(window.out(found[-1]))
    return found


def fields(windows: Sequence[Window]) -> list[int]:
    """n = k + s (m - 1) from one unit of the last layer back to the image."""
    found = [1]
    for window in reversed(windows):
        found.append(window.span + window.stride * (found[-1] - 1))
    return found


def field(windows: Sequence[Window]) -> int:
    """The receptive field in pixels."""
    return fields(windows)[-1]


def field_steps(windows: Sequence[Window]) -> tuple[str, ...]:
    """The recursion, layer by layer, with its numbers put in."""
    return tuple(
        f"{window.text}: {_span(window)} + {window.stride} x ({seen} - 1) = {sees}"
        for window, (seen, sees) in zip(reversed(windows), pairwise(fields(windows)), strict=True)
    )


def _span(window: Window) -> str:
    if window.dilation == 1:
        return str(window.kernel)
    return f"({window.dilation} x {window.kernel - 1} + 1)"


def slid(values: Tensor, window: Window) -> Tensor:
    """The window slid along one axis by PyTorch, without its padding, all its weights 1.

    Pools take the mean, so that every pixel that a unit sees has a gradient.
    """
    if window.pools:
        return functional.avg_pool1d(values, window.kernel, window.stride)
    weight = torch.ones(1, 1, window.kernel, dtype=torch.float64)
    return functional.conv1d(values, weight, stride=window.stride, dilation=window.dilation)


def ran(windows: Sequence[Window], width: int) -> int:
    """The width that comes out of PyTorch's layers; 0 where a window does not fit."""
    values = torch.zeros(1, 1, width, dtype=torch.float64)
    with torch.no_grad():
        for window in windows:
            values = _padded(values, window)
            if values.shape[-1] < window.span:
                return 0
            values = slid(values, window)
    return values.shape[-1]


def _padded(values: Tensor, window: Window) -> Tensor:
    """Zeros on both sides; an odd one goes to the right."""
    left = window.padding // 2
    return functional.pad(values, (left, window.padding - left))


def support(windows: Sequence[Window]) -> int:
    """Pixels from the first to the last with a gradient, for the first unit of real layers."""
    return _support(tuple(windows))


@lru_cache(maxsize=4096)
def _support(windows: tuple[Window, ...]) -> int:
    jump, reach = 1, 1
    for window in windows:
        reach += window.span * jump  # more than it can see, so that nothing is cut off
        jump *= window.stride
    image = torch.zeros(1, 1, reach, dtype=torch.float64, requires_grad=True)
    values: Tensor = image
    for window in windows:
        values = slid(values, window)
    (gradient,) = torch.autograd.grad(values[0, 0, 0], image)
    places = gradient[0, 0].nonzero()
    return int(places.max() - places.min()) + 1
