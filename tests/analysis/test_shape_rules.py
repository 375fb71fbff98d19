"""The fast shape rules say what PyTorch does on the CPU: shape, type and memory order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from chainrule.analysis.shape_rules import RULES
from chainrule.errors import ShapeError

aten = torch.ops.aten


def meta(*shape: int, dtype: torch.dtype = torch.float32, last: bool = False) -> Tensor:
    made = torch.empty(shape, dtype=dtype, device="meta")
    return made.contiguous(memory_format=torch.channels_last) if last else made


def facts(outputs: Any) -> list[tuple[object, ...]]:
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [(tuple(item.shape), item.dtype, item.stride()) for item in outputs]


def agree(operator: Any, *arguments: Any, **keywords: Any) -> None:
    ours = RULES[operator](*arguments, **keywords)
    assert ours is not NotImplemented
    assert facts(ours) == facts(operator(*map(real, arguments), **keywords))


def real(value: Any) -> Any:
    """A tensor with values like a meta tensor; PyTorch's meta rules do not always say the truth."""
    if not isinstance(value, Tensor):
        return value
    return torch.zeros_like(value, device="cpu") + 1


@settings(max_examples=60, deadline=None)
@given(
    axes=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    transposed=st.booleans(),
    groups=st.sampled_from([1, 2]),
)
def test_convolution(
    axes: int, kernel: int, stride: int, padding: int, dilation: int, transposed: bool, groups: int
) -> None:
    sides = (7, 9, 8)[:axes]
    weight = meta(4, 6 // groups if transposed else 4 // groups, *[kernel] * axes)
    agree(
        aten.convolution.default,
        *(meta(2, 4, *sides), weight, None, [stride] * axes, [padding] * axes),
        *([dilation] * axes, transposed, [0] * axes, groups),
    )


def test_convolution_of_unequal_sides_and_memory_orders() -> None:
    for last in (False, True):
        agree(
            aten.convolution.default,
            *(meta(1, 3, 9, 8, last=last), meta(5, 3, 1, 7), None, [2, 1], [0, 3], [1, 1]),
            *(False, [0, 0], 1),
        )


def test_convolution_that_does_not_fit_says_so() -> None:
    weight = meta(5, 3, 3, 3)
    rest = (None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    with pytest.raises(ShapeError, match="expects 3 input channels, gets 4"):
        RULES[aten.convolution.default](meta(1, 4, 9, 9), weight, *rest)
    with pytest.raises(ShapeError, match="gets 2x9, too small for its 3x3 window"):
        RULES[aten.convolution.default](meta(1, 3, 2, 9), weight, *rest)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_norm(training: bool, dtype: torch.dtype) -> None:
    vectors = [meta(4, dtype=dtype) for _ in range(4)]
    agree(
        aten.native_batch_norm.default, meta(2, 4, 5, 5, dtype=dtype), *vectors, training, 0.1, 1e-5
    )


def test_the_others() -> None:
    image, wide = meta(2, 4, 9, 9), meta(2, 4, 9, 9, last=True)
    for item in (image, wide):
        for operator in (aten.relu.default, aten.gelu.default, aten.sigmoid.default):
            agree(operator, item)
        for operator in (aten.add.Tensor, aten.mul.Tensor):
            agree(operator, item, item)
        agree(aten.mul.Scalar, item, 2.0)
    for keep in (False, True):
        agree(aten.mean.dim, image, [2, 3], keep)
    agree(aten.max_pool2d_with_indices.default, image, [3, 3], [2, 2], [1, 1])
    agree(aten.max_pool2d_with_indices.default, image, [2], [], [0], [2])
    agree(aten.addmm.default, meta(5), meta(3, 7), meta(7, 5))
    agree(aten.native_layer_norm.default, meta(2, 3, 8), [8], meta(8), meta(8), 1e-5)
    agree(aten.empty_like.default, image)
    agree(aten._safe_softmax.default, meta(2, 5), -1)


def test_what_is_not_covered_is_left_to_pytorch() -> None:
    whole = torch.empty((3, 3), dtype=torch.int64, device="meta")
    assert RULES[aten.relu.default](whole) is NotImplemented
    assert RULES[aten.add.Tensor](meta(3, 1), meta(3)) is NotImplemented
    assert RULES[aten.mean.dim](meta(3, 3), []) is NotImplemented
