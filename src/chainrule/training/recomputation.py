"""Recomputation: activations computed again in the backward pass instead of kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from chainrule.errors import RecipeError

_LEAST = 3  # a chain of two layers has nothing in between


@contextmanager
def recomputing(module: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Context in which ``module`` keeps only what its parts are given (activation checkpointing).

    A chain of n layers (``nn.Sequential``, any network in notation) is cut into about the
    square root of n parts; in other modules each child that has layers inside is a part. Dropout
    draws the same masks again, and batch statistics are counted once: the weights end in the
    same bits. Costs one more forward pass.

    Args:
        module: whose layers are to be recomputed.
        wanted: False changes nothing.

    Raises:
        RecipeError: the module has no such part.

    Source: Chen, Xu, Zhang, Guestrin, Training deep nets with sublinear memory cost, 2016.

    Examples:
        >>> import torch
        >>> chain = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
        >>> with recomputing(chain):
        ...     chain(torch.ones(1, 2)).sum().backward()
        >>> chain[0].weight.grad.shape
        torch.Size([2, 2])
    """
    parts = list(_parts(module)) if wanted else []
    if wanted and not parts:
        raise RecipeError(
            f"checkpoint_activations finds no chain or block of layers in {type(module).__name__}: "
            "build it of nn.Sequential or of blocks, or leave checkpoint_activations out"
        )
    for part in parts:
        part.forward = _forward(part)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost chains and blocks."""
    if _is_chain(module):
        yield module
        return
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict) or _is_chain(child):
            yield from _parts(child)
        elif next(child.children(), None) is not None:
            yield child


def _is_chain(module: nn.Module) -> bool:
    plain = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    return plain and len(list(module.children())) >= _LEAST


def _forward(part: nn.Module) -> Callable[..., Any]:
    again = partial(checkpoint, use_reentrant=False, context_fn=partial(_contexts, part))
    if not _is_chain(part):
        return partial(again, part.forward)
    layers = list(part.children())
    length = math.ceil(len(layers) / round(math.sqrt(len(layers))))
    pieces = [layers[start : start + length] for start in range(0, len(layers), length)]

    def forward(values: Any) -> Any:
        for piece in pieces[:-1]:
            values = again(partial(_through, piece), values)
        return _through(pieces[-1], values)  # whose backward comes at once

    return forward


def _through(layers: list[nn.Module], values: Any) -> Any:
    for layer in layers:
        values = layer(values)
    return values


def _contexts(part: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Of the first pass and of the one in backward."""
    return nullcontext(), _statistics_stand(part)


@contextmanager
def _statistics_stand(part: nn.Module) -> Iterator[None]:
    """Running statistics have seen this minibatch already: they move by nothing."""
    norms = [
        layer
        for layer in part.modules()
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats
    ]
    before = [(norm.momentum, _count(norm)) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)


def _count(norm: nn.modules.batchnorm._NormBase) -> Tensor | None:
    count = norm.num_batches_tracked
    return None if count is None else count.clone()
