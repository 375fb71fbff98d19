"""Samples: inputs of functions, as given or drawn from the standard normal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chainrule.analysis.inputs import DTYPES
from chainrule.errors import ShapeError, suggestion


def sample(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if dtype.is_floating_point:
        return torch.randn(tuple(shape), generator=generator, dtype=torch.float64).to(dtype)
    if dtype.is_complex:
        return torch.randn(tuple(shape), generator=generator, dtype=torch.complex128).to(dtype)
    return torch.randint(0, 2, tuple(shape), generator=generator).to(dtype)


def function_inputs(given: Any, dtype: torch.dtype) -> list[Any]:
    """Inputs of a function: tensors as they are, shapes (without a minibatch axis) drawn."""
    generator = torch.Generator().manual_seed(0)
    several = isinstance(given, tuple | list) and not (
        given and all(isinstance(item, int) for item in given)
    )
    items = list(given) if several else [given]
    return [_one_input(item, dtype, generator) for item in items]


def _one_input(item: Any, dtype: torch.dtype, generator: torch.Generator) -> Any:
    if isinstance(item, Tensor):
        kept = item.detach().to("cpu", copy=True)
        if kept.is_complex():
            return kept.to(torch.complex128 if dtype == torch.float64 else torch.complex64)
        return kept.to(dtype) if kept.is_floating_point() else kept
    if isinstance(item, str):
        shape, kind = _shape_from(item)
        return sample(shape, kind or dtype, generator)
    if isinstance(item, tuple | list) and all(isinstance(size, int) for size in item):
        return sample(tuple(item), dtype, generator)
    if hasattr(item, "shape") and hasattr(item, "dtype"):
        return _one_input(torch.as_tensor(item), dtype, generator)
    return item  # a number or a flag, given as it is


def _shape_from(text: str) -> tuple[tuple[int, ...], torch.dtype | None]:
    sizes, _, kind = text.partition(":")
    if kind and kind not in DTYPES:
        raise ShapeError(f"input got the type '{kind}'{suggestion(kind, DTYPES)}")
    try:
        shape = tuple(int(part) for part in sizes.split(",")) if sizes.strip() else ()
    except ValueError:
        raise ShapeError(f"input got '{text}', wants a shape such as 4,3 or 8:int64") from None
    if any(size < 1 for size in shape):
        raise ShapeError(f"input got '{text}', wants sizes from 1")
    return shape, DTYPES.get(kind)
