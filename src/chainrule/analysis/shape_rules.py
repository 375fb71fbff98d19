"""Shape rules for the operations whose PyTorch rules are slow, so that tracing is fast.

PyTorch knows the shape of every operation on the meta device, but computes many of them in
Python through a whole decomposition (0.5 to 5 ms each, and a second to import what that
needs). The rules here say the same in microseconds; the tests hold them equal to PyTorch's.
A rule gives NotImplemented for what it does not cover, and PyTorch's is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from chainrule.errors import ShapeError

_aten = torch.ops.aten


def convolution(
    input: Tensor,  # noqa: A002 - the schema's names
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor:
    """``floor((w + 2 p - d (k - 1) - 1) / s) + 1`` per axis; transposed: its reverse."""
    axes = weight.dim() - 2
    batch = input.shape[: input.dim() - axes - 1]
    channels, sides = input.shape[-axes - 1], input.shape[-axes:]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        raise ShapeError(f"expects {expected} input channels, gets {channels}")
    settings = [_spread(item, axes) for item in (stride, padding, dilation)]
    per_axis = list(zip(*settings, strict=True))
    made = []
    for axis, (step, pad, gap) in enumerate(per_axis):
        reach = gap * (weight.shape[2 + axis] - 1) + 1
        if transposed:
            extra = output_padding[0 if len(output_padding) == 1 else axis]
            made.append((sides[axis] - 1) * step - 2 * pad + reach + extra)
        else:
            made.append((sides[axis] + 2 * pad - reach) // step + 1)
    if min(made, default=1) < 1:
        window = "x".join(str(size) for size in weight.shape[2:])
        given = "x".join(str(size) for size in sides)
        raise ShapeError(f"gets {given}, too small for its {window} window: its volume is empty")
    filters = weight.shape[1] * groups if transposed else weight.shape[0]
    return torch.empty(
        (*batch, filters, *made),
        dtype=torch.promote_types(input.dtype, weight.dtype),
        device=input.device,
        memory_format=_memory_format(input, weight),
    )


def _empty(like: Tensor, shape: Sequence[int], *, dtype: torch.dtype | None = None) -> Tensor:
    """``like.new_empty(shape)``, which on the meta device goes through Python."""
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device)


def _like(tensor: Tensor) -> Tensor:
    """``torch.empty_like`` without its detour through Python for the common memory formats."""
    if tensor.is_contiguous():
        return _empty(tensor, tensor.shape)
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
        )
    return torch.empty_like(tensor)


def _spread(values: list[int], axes: int) -> list[int]:
    return list(values) * axes if len(values) == 1 else list(values)


def _memory_format(*tensors: Tensor) -> torch.memory_format:
    """Channels last as soon as one of the tensors is."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in tensors:
        wanted = last.get(tensor.dim(), torch.contiguous_format)
        plain = tensor.is_contiguous()
        if not plain and tensor.is_contiguous(memory_format=wanted):
            return wanted
    return torch.contiguous_format


def batch_norm(
    input: Tensor,  # noqa: A002
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Output like the input; the batch's mean and inverse deviation are kept when training."""
    for vector in (running_mean, weight):
        if vector is not None and vector.shape[0] != input.shape[1]:
            raise ShapeError(f"expects {vector.shape[0]} input channels, gets {input.shape[1]}")
    kept = input.shape[1] if training else 0
    dtype = torch.float32 if input.dtype in (torch.float16, torch.bfloat16) else input.dtype
    statistics = (_empty(input, (kept,), dtype=dtype), _empty(input, (kept,), dtype=dtype))
    return (_like(input), *statistics)


def unary(input: Tensor, *_: Any, **__: Any) -> Any:  # noqa: A002
    """Output like the input."""
    return _like(input) if input.is_floating_point() else NotImplemented


def like(input: Tensor, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Any:  # noqa: A002
    """Contiguous like the input, of another type perhaps."""
    if not input.is_contiguous() or memory_format not in (None, torch.preserve_format):
        return NotImplemented
    return _empty(input, input.shape, dtype=dtype or input.dtype)


def binary(input: Tensor, other: Any, **_: Any) -> Any:  # noqa: A002
    """Output like the input; broadcasting and mixed types are left to PyTorch."""
    if not input.is_floating_point():
        return NotImplemented
    if isinstance(other, Tensor):
        same = (input.shape, input.stride(), input.dtype)
        if same != (other.shape, other.stride(), other.dtype):
            return NotImplemented
    elif isinstance(other, complex):
        return NotImplemented
    return _like(input)


def in_place(input: Tensor, other: Any = None, *_: Any, **__: Any) -> Any:  # noqa: A002
    """The input itself; what must be broadcast is left to PyTorch."""
    fits = not isinstance(other, Tensor) or other.shape == input.shape or other.dim() == 0
    return input if fits and input.is_floating_point() else NotImplemented


def addmm(bias: Tensor, input: Tensor, weight: Tensor, **_: Any) -> Any:  # noqa: A002
    """(batch, features) times (features, outputs)."""
    if input.shape[1] != weight.shape[0]:
        raise ShapeError(f"expects {weight.shape[0]} input features, gets {input.shape[1]}")
    return _empty(input, (input.shape[0], weight.shape[1]))


def layer_norm(
    input: Tensor,  # noqa: A002
    shape: list[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Any:
    """Output like the input; mean and inverse deviation per normalized part."""
    if tuple(input.shape[input.dim() - len(shape) :]) != tuple(shape):
        return NotImplemented
    kept = (*input.shape[: input.dim() - len(shape)], *(1 for _ in shape))
    dtype = torch.float32 if input.dtype in (torch.float16, torch.bfloat16) else input.dtype
    statistics = (_empty(input, kept, dtype=dtype), _empty(input, kept, dtype=dtype))
    like = _empty(input, input.shape) if not input.is_contiguous() else _like(input)
    return (like, *statistics)


def max_pool2d(
    input: Tensor,  # noqa: A002
    kernel_size: list[int],
    stride: list[int] = [],  # noqa: B006 - the schema's default
    padding: list[int] = [0],  # noqa: B006
    dilation: list[int] = [1],  # noqa: B006
    ceil_mode: bool = False,
) -> Any:
    """Maxima and where they are; the rest is left to PyTorch."""
    if ceil_mode or input.dim() != 4 or not input.is_contiguous():
        return NotImplemented
    kernel, step = _spread(kernel_size, 2), _spread(stride or kernel_size, 2)
    pad, gap = _spread(padding, 2), _spread(dilation, 2)
    sides = [
        (input.shape[2 + axis] + 2 * pad[axis] - gap[axis] * (kernel[axis] - 1) - 1) // step[axis]
        + 1
        for axis in (0, 1)
    ]
    if min(sides) < 1 or any(2 * p > k for p, k in zip(pad, kernel, strict=True)):
        return NotImplemented
    shape = (*input.shape[:2], *sides)
    return _empty(input, shape), _empty(input, shape, dtype=torch.int64)


def mean(input: Tensor, dim: Any, keepdim: bool = False, *, dtype: Any = None) -> Any:  # noqa: A002
    """The axes go, or become 1."""
    if dtype is not None or not dim or not input.is_floating_point():
        return NotImplemented
    axes = {axis % input.dim() for axis in dim}
    shape = [1 if axis in axes else size for axis, size in enumerate(input.shape)]
    kept = shape if keepdim else [n for axis, n in enumerate(shape) if axis not in axes]
    return _empty(input, kept) if input.is_contiguous() else NotImplemented


RULES: dict[OpOverload, Callable[..., Any]] = {
    _aten.convolution.default: convolution,
    _aten.native_batch_norm.default: batch_norm,
    _aten.addmm.default: addmm,
    _aten.max_pool2d_with_indices.default: max_pool2d,
    _aten.mean.dim: mean,
    _aten.native_layer_norm.default: layer_norm,
    _aten._safe_softmax.default: unary,
    **dict.fromkeys(
        (
            *(_aten.relu_.default, _aten.add_.Tensor, _aten.mul_.Tensor, _aten.div_.Tensor),
            *(_aten.div_.Scalar, _aten.mul_.Scalar, _aten.hardtanh_.default),
            *(_aten.leaky_relu_.default, _aten.silu_.default, _aten.hardswish_.default),
        ),
        in_place,
    ),
    **dict.fromkeys(
        (_aten.empty_like.default, _aten.zeros_like.default, _aten.ones_like.default), like
    ),
    **dict.fromkeys(
        (
            *(_aten.relu.default, _aten.gelu.default, _aten.hardtanh.default),
            *(_aten.hardswish.default, _aten.hardsigmoid.default, _aten.leaky_relu.default),
            *(_aten.elu.default, _aten.silu.default, _aten.sigmoid.default, _aten.tanh.default),
        ),
        unary,
    ),
    **dict.fromkeys(
        (
            *(_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor),
            *(_aten.mul.Scalar, _aten.add.Scalar, _aten.div.Scalar),
        ),
        binary,
    ),
}
