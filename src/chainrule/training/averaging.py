"""Averaging: an exponential moving average of the weights, evaluated instead of the last ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_Tensors = list[Tensor] | tuple[Tensor, ...]


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """A twin of ``module`` whose weights follow it: ``a <- d a + (1 - d) w`` at each update.

    In the first updates d is ``min(decay, (1 + n) / (10 + n))``, so that the initial weights
    do not linger. Buffers (batch statistics) are those of the module.

    Args:
        module: on its device.
        decay: in (0, 1); 1 / (1 - decay) is the number of updates averaged over.

    Source: Polyak & Juditsky 1992; the start as in TensorFlow's ExponentialMovingAverage.

    Examples:
        >>> twin = moving_average(layer := nn.Linear(1, 1, bias=False), 0.5)
        >>> twin.update_parameters(layer)
        >>> bool(twin.module.weight == layer.weight)
        True
    """

    def follow(averages: _Tensors, current: _Tensors, updates: Tensor | int) -> None:
        seen = int(updates)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + seen) / (10 + seen)))

    twin = AveragedModel(module, multi_avg_fn=follow)
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin


def go_on(twin: AveragedModel, updates: int) -> None:
    """Say that ``twin`` has followed so many updates already (after its weights were loaded)."""
    twin.n_averaged.fill_(updates)
