"""Windows: convolution and pooling on whole arrays, and their gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import grad as convolution_gradients

from chainrule.derivation.expression import Expr, call, option
from chainrule.derivation.operations import Pulled, concrete, operation

Sizes = dict[str, int]


def window_size(n: int, k: int, stride: int, padding: int) -> int:
    return (n + 2 * padding - k) // stride + 1


def _lifted(value: Tensor, rank: int) -> Tensor:
    """With minibatch and channel axes where it has none."""
    return value[None, None] if value.dim() == rank else value


def _spatial(node: Expr) -> int:
    return int(node.kind.removesuffix("d")[-1])


_CONVOLVE: dict[int, Any] = {1: F.conv1d, 2: F.conv2d}
_BY_WEIGHT: dict[int, Any] = {
    1: convolution_gradients.conv1d_weight,
    2: convolution_gradients.conv2d_weight,
}
_BY_INPUT: dict[int, Any] = {
    1: convolution_gradients.conv1d_input,
    2: convolution_gradients.conv2d_input,
}
_MAX_POOL: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d}
_AVG_POOL: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d}
_TURN_BACK: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d}


def _conv_value(args: list[Tensor], node: Expr, axes: Sizes) -> Tensor:
    rank = _spatial(node)
    x, k = (_lifted(item, rank) for item in args)
    found = _CONVOLVE[rank](x, k, None, option(node, "stride"), option(node, "padding"))
    made: Tensor = found.reshape(concrete(node.shape, axes))
    return made


def _conv_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    x, k = node.args
    rank, options = _spatial(node), dict(node.data)
    return [
        call(f"conv_input{rank}d", k, g, shape=x.shape, **options),
        call(f"conv_weight{rank}d", x, g, shape=k.shape, **options),
    ]


def _by_input_value(args: list[Tensor], node: Expr, axes: Sizes) -> Tensor:
    rank = _spatial(node)
    k, g = (_lifted(item, rank) for item in args)
    shape = concrete(node.shape, axes)
    shape = (1, 1, *shape) if len(shape) == rank else shape
    found = _BY_INPUT[rank](shape, k, g, option(node, "stride"), option(node, "padding"))
    made: Tensor = found.reshape(concrete(node.shape, axes))
    return made


def _by_weight_value(args: list[Tensor], node: Expr, axes: Sizes) -> Tensor:
    rank = _spatial(node)
    x, g = (_lifted(item, rank) for item in args)
    shape = concrete(node.shape, axes)
    shape = (1, 1, *shape) if len(shape) == rank else shape
    found = _BY_WEIGHT[rank](x, shape, g, option(node, "stride"), option(node, "padding"))
    made: Tensor = found.reshape(concrete(node.shape, axes))
    return made


def _no_pull(node: Expr, _out: Expr, _g: Expr) -> Pulled:
    return [None] * len(node.args)


def _pool_options(node: Expr) -> dict[str, Any]:
    return {"kernel_size": option(node, "window"), "stride": option(node, "stride")}


def _pooled(kinds: dict[int, Any]) -> Any:
    def value(args: list[Tensor], node: Expr, axes: Sizes) -> Tensor:
        rank = _spatial(node)
        found = kinds[rank](_lifted(args[0], rank), **_pool_options(node))
        made: Tensor = found.reshape(concrete(node.shape, axes))
        return made

    return value


def _to_winners_value(args: list[Tensor], node: Expr, _axes: Sizes) -> Tensor:
    """Each window's upstream added to the place of its winner."""
    rank = _spatial(node)
    x, g = (_lifted(item, rank) for item in args)
    winners = _MAX_POOL[rank](x, **_pool_options(node), return_indices=True)[1]
    flat = torch.zeros_like(x).flatten(-rank)
    flat = flat.scatter_add(-1, winners.flatten(-rank), g.flatten(-rank))
    return flat.reshape(args[0].shape)


def _to_windows_value(args: list[Tensor], node: Expr, _axes: Sizes) -> Tensor:
    """Each window's upstream shared by all of its places."""
    rank, window = _spatial(node), option(node, "window")
    x, g = (_lifted(item, rank) for item in args)
    share = torch.full((1, 1, *[window] * rank), 1 / window**rank, dtype=g.dtype)
    lines = g.reshape(-1, 1, *g.shape[2:])
    spread = _TURN_BACK[rank](lines, share, stride=option(node, "stride"))
    lacking = [n for a, b in zip(x.shape[2:], spread.shape[2:], strict=True) for n in (a - b, 0)]
    made: Tensor = F.pad(spread, lacking[::-1]).reshape(args[0].shape)
    return made


def _pool_pull(kind: str) -> Any:
    def pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
        x, rank = node.args[0], _spatial(node)
        return [call(f"{kind}{rank}d", x, g, shape=x.shape, **dict(node.data))]

    return pull


for _rank in (1, 2):
    operation(f"conv{_rank}d", _conv_value, _conv_pull,
              "convolution z[i] = sum_j k[j] x[i+j]: dk[j] = sum_i dz[i] x[i+j], dx[n] = sum_j "
              "dz[n-j] k[j]")  # fmt: skip
    operation(f"conv_input{_rank}d", _by_input_value, _no_pull)
    operation(f"conv_weight{_rank}d", _by_weight_value, _no_pull)
    operation(f"maxpool{_rank}d", _pooled(_MAX_POOL), _pool_pull("to_winners"),
              "max-pooling: dx[n] gets dz[i] from each window i that x[n] wins, 0 from others",
              "max_pool")  # fmt: skip
    operation(f"avgpool{_rank}d", _pooled(_AVG_POOL), _pool_pull("to_windows"),
              "average-pooling: dx[n] gets dz[i]/size from each window i that holds it",
              )  # fmt: skip
    operation(f"to_winners{_rank}d", _to_winners_value, _no_pull)
    operation(f"to_windows{_rank}d", _to_windows_value, _no_pull)
