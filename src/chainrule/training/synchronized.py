"""Synchronized: batch normalization by the statistics of all processes' examples together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from chainrule.training.distributed import World

_Norm = nn.modules.batchnorm._BatchNorm


@contextmanager
def synchronized(module: nn.Module, here: World, wanted: bool) -> Iterator[None]:
    """Context in which batch normalization sees the minibatch of all processes as one.

    PyTorch's own SyncBatchNorm replaces layers and runs on GPUs alone; this leaves the layers as
    they are and runs wherever all_reduce does. Mean and variance are summed in two passes.

    Args:
        module: whose layers are to be synchronized.
        here: this process among the others; alone, nothing changes.
        wanted: False changes nothing.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _Norm)]
    chosen = norms if wanted and here.size > 1 else []
    for norm in chosen:  # the layer itself is to stay what it is, for checkpoints and users
        norm.forward = partial(_normalize, norm, norm.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in chosen:
            del norm.forward


def _normalize(norm: _Norm, alone: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    if not norm.training:
        return alone(values)
    axes = [axis for axis in range(values.dim()) if axis != 1]
    shape = [1, -1] + [1] * (values.dim() - 2)
    wide = values.float()
    count = torch.tensor(float(values.numel() // values.shape[1]), device=values.device)
    count = _summed(count)
    mean = _summed(wide.sum(axes)) / count
    centred = wide - mean.view(shape)
    variance = _summed(centred.square().sum(axes)) / count
    _follow(norm, mean.detach(), variance.detach() * count / (count - 1))
    result = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        result = result * norm.weight.view(shape) + norm.bias.view(shape)
    return result.to(values.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is that of all processes' losses together.

    What is exchanged is never what is given back: a communication thread that let go of a tensor
    with a Python gradient last would need the interpreter for it.
    """

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _summed(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


def _follow(norm: _Norm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics as BatchNorm does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = norm.momentum
    if share is None:
        share = 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance, share)
