"""Receptive fields the slow, obvious way: NaN into every place of the input, one by one."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

NONE = (2**30, -(2**30))


def boxes_by_nan(
    module: nn.Module, shape: tuple[int, ...], axis: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last position along ``axis`` that reaches each unit of the output.

    Args:
        module: takes (N, ...) and keeps the examples apart in evaluation mode.
        shape: shape of the input with a leading 1.
        axis: axis of the input.

    Returns:
        (low, high), each in the output's shape for one example.
    """
    module = copy.deepcopy(module).eval()
    extent = shape[axis]
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(shape, generator=generator).repeat(extent, *[1] * (len(shape) - 1))
    for position in range(extent):
        x[position].select(axis - 1, position).fill_(float("nan"))
    with torch.no_grad():
        reached = torch.isnan(module(x)).numpy()
    any_one = reached.any(0)
    low = np.where(any_one, reached.argmax(0), NONE[0])
    high = np.where(any_one, extent - 1 - reached[::-1].argmax(0), NONE[1])
    return low, high


def support_by_gradient(
    module: nn.Module, shape: tuple[int, ...], unit: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Input positions with a gradient, all weights being 1: sound for linear networks alone."""
    module = copy.deepcopy(module).eval().double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    x = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    output = module(x)
    output[(0, slice(None), *unit)].sum().backward()
    assert x.grad is not None
    return (x.grad[0] != 0).any(0).numpy()
