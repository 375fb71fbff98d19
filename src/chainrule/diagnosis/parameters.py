"""Parameters: gradients, weights and updates in one step, parameter by parameter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class ParameterStep:
    """One parameter tensor in one step.

    Attributes:
        name: as its network names it.
        size: numbers in it.
        weight_norm: before the update.
        gradient_norm: None where it has no gradient.
        update_norm: None before the update, or where it was not followed.
    """

    name: str
    size: int
    weight_norm: float
    gradient_norm: float | None
    update_norm: float | None = None

    @property
    def update_ratio(self) -> float | None:
        """Norm of the update / norm of the parameter."""
        if self.update_norm is None or not self.weight_norm:
            return None
        return self.update_norm / self.weight_norm


def held(optimizers: Iterable[Optimizer]) -> list[nn.Parameter]:
    """The parameters of optimizers."""
    return [
        item for optimizer in optimizers for group in optimizer.param_groups
        for item in group["params"]
    ]  # fmt: skip


def norms(tensors: Sequence[Tensor | None]) -> list[float | None]:
    """Euclidean norms, in float32 at least; None stays None.

    Examples:
        >>> norms([torch.tensor([3.0, 4.0]), None])
        [5.0, None]
    """
    kept = [item for item in tensors if item is not None]
    if not kept:
        return [None] * len(tensors)
    found = torch.stack([_norm(item).to(kept[0].device) for item in kept]).tolist()
    rest = iter(found)
    return [None if item is None else float(next(rest)) for item in tensors]


def _norm(tensor: Tensor) -> Tensor:
    values = tensor.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    kind = torch.float64 if values.dtype == torch.float64 else torch.float32
    norm: Tensor = torch.linalg.vector_norm(values, dtype=kind)
    return norm.double()


def norm_of(tensors: Sequence[Tensor]) -> float:
    """The norm of several tensors as if they were one.

    Examples:
        >>> norm_of([torch.tensor([3.0]), torch.tensor([4.0])])
        5.0
    """
    return float(sum((value or 0.0) ** 2 for value in norms(tensors)) ** 0.5)


def noise(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> list[float | None]:
    """By parameter, the share of the squared gradient norm that two minibatches do not share.

    ``1 - 2 a.b / (a.a + b.b)``: 0 for the same gradient, 1 for unrelated ones, 2 for opposite ones.

    Examples:
        >>> a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
        >>> noise([a, a], [a, b])
        [0.0, 1.0]
    """
    return [
        None if one is None or two is None or one.is_sparse or two.is_sparse
        else _noise(one.detach().double(), two.detach().double())
        for one, two in zip(first, second, strict=True)
    ]  # fmt: skip


def _noise(one: Tensor, two: Tensor) -> float | None:
    squares = float(one.square().sum() + two.square().sum())
    return None if not squares else 1.0 - 2.0 * float((one * two).sum()) / squares


def leaves_of(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The leaves (parameters) that gradients of ``tensors`` reach.

    The graph is read, not run.

    Examples:
        >>> w, v = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
        >>> [leaf is w for leaf in leaves_of([(2 * w).sum()])]
        [True]
    """
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    waiting: list[Any] = []
    for item in tensors:
        if item.grad_fn is None and item.requires_grad:
            found[id(item)] = item
        waiting.append(item.grad_fn)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found[id(leaf)] = leaf
        waiting.extend(item for item, _ in node.next_functions)
    return list(found.values())
