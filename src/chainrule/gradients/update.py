"""Update: the first step of an update rule, taken by copies of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

UpdateRule = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True)
class Step:
    """One step of an update rule.

    Attributes:
        rule: name of the update rule.
        changes: what is added to each parameter.
    """

    rule: str
    changes: Mapping[Tensor, Tensor]


def first_step(
    gradients: Mapping[Tensor, Tensor],
    names: Mapping[Tensor, str],
    rule: UpdateRule | None = None,
    learning_rate: float = 0.01,
) -> Step:
    """The first step of an update rule from these gradients.

    Args:
        gradients: of the loss, by parameter.
        names: of the parameters.
        rule: makes an optimizer from pairs of name and parameter, as every class of
            ``torch.optim`` does: ``rule(pairs, lr=...)``; SGD by default.
        learning_rate: of that step.

    Examples:
        >>> w = nn.Parameter(torch.ones(2))
        >>> first_step({w: torch.full((2,), 3.0)}, {w: "w"}, learning_rate=0.1).changes[w]
        tensor([-0.3000, -0.3000])
    """
    rule = rule or torch.optim.SGD
    copies = [nn.Parameter(item.detach().clone()) for item in gradients]
    for copy, gradient in zip(copies, gradients.values(), strict=True):
        copy.grad = gradient.clone()
    name = "none"
    if copies:
        pairs = [(names[item], copy) for item, copy in zip(gradients, copies, strict=True)]
        optimizer: Any = rule(pairs, lr=learning_rate)
        optimizer.step()
        name = type(optimizer).__name__
    changes = {
        item: copy.detach() - item.detach() for item, copy in zip(gradients, copies, strict=True)
    }
    return Step(name, changes)
