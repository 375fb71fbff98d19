"""Opaque: tensors that stand for others, inside ``torch.func`` and while something is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes


def is_symbolic(value: Any) -> bool:
    """Whether a tensor has no numbers: a compiler's stand-in.

    Examples:
        >>> is_symbolic(torch.ones(1))
        False
    """
    kind = type(value)
    return kind not in (Tensor, torch.nn.Parameter) and kind.__module__.startswith("torch._sub")


def within_transform(value: Any) -> bool:
    """Whether a tensor belongs to a transform of ``torch.func`` that is running.

    Examples:
        >>> found = []
        >>> look = lambda x: found.append(within_transform(x)) or x.sum()
        >>> torch.func.grad(look)(torch.ones(2)).tolist(), found
        ([1.0, 1.0], [True])
    """
    return isinstance(value, Tensor) and plain(value) is not value


def plain(value: Tensor) -> Tensor:
    """The tensor with the numbers; of ``vmap`` with the mapped axis somewhere among the others.

    Examples:
        >>> x = torch.ones(2)
        >>> plain(x) is x
        True
    """
    found: Tensor = torch.func.debug_unwrap(value, recurse=True)
    return found


@contextmanager
def unheard() -> Iterator[None]:
    """Inside, operations are hidden from the user's own modes and subclasses of tensors."""
    with torch._C.DisableTorchFunction():
        if torch._C._len_torch_dispatch_stack():
            with _disable_current_modes():
                yield
        else:
            yield


@contextmanager
def outside_transforms() -> Iterator[None]:
    """Inside, tensors are what they seem, although a transform of ``torch.func`` is running.

    The end of a step is seen when the next one begins, by then within its transform.
    """
    if not torch._C._functorch.peek_interpreter_stack():
        yield
        return
    # no public way out of a running transform
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    with temporarily_clear_interpreter_stack():
        yield
