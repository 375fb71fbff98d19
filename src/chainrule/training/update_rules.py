"""Update rules by name: torch.optim's, in one fused kernel or tensor by tensor ("foreach").

With gradient g, parameter w and learning rate a (CS231n notes on neural networks, part 3):

- sgd:      w <- w - a g
- momentum: v <- mu v + g;  w <- w - a v                          (Polyak 1964)
- nesterov: v <- mu v + g;  w <- w - a (g + mu v)                 (Sutskever et al. 2013)
- adagrad:  c <- c + g^2;   w <- w - a g / (sqrt(c) + e)          (Duchi et al. 2011)
- rmsprop:  c <- 0.99 c + 0.01 g^2;  w <- w - a g / (sqrt(c) + e) (Tieleman & Hinton 2012)
- adam:     m <- 0.9 m + 0.1 g;  c <- 0.999 c + 0.001 g^2;
            w <- w - a (m / (1 - 0.9^t)) / (sqrt(c / (1 - 0.999^t)) + e)  (Kingma & Ba 2015)
- adamw:    w <- w - a lambda w, then adam's update with the data gradient alone
            (Loshchilov & Hutter 2019)

PyTorch keeps the velocity as a sum of gradients and multiplies by a when updating; the course
folds a into the velocity (v <- mu v - a g). The two agree while a is constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from chainrule.training.recipe import Recipe

DEFAULT_MOMENTUM = 0.9
LEARNING_RATES = {
    "sgd": 0.1,
    "momentum": 0.05,
    "nesterov": 0.05,
    "adagrad": 0.01,
    "rmsprop": 1e-3,
    "adam": 2e-3,
    "adamw": 2e-3,
}


def learning_rate(recipe: Recipe) -> float:
    """The recipe's base learning rate, or its update rule's usual one."""
    return recipe.learning_rate or LEARNING_RATES[recipe.update_rule]


def build_optimizer(
    recipe: Recipe,
    regularized: Iterable[nn.Parameter],
    others: Iterable[nn.Parameter],
    *,
    fused: bool = True,
) -> torch.optim.Optimizer:
    """The recipe's update rule over two groups: those that R(W) touches, and the others.

    The gradient of an l2 penalty is added by torch.optim itself (``weight_decay``), which
    costs no extra pass; l1 and elastic penalties stand in the loss. A fused kernel is taken
    where PyTorch has one; it may contract a multiply and an add, so that last bits differ.

    Examples:
        >>> w = nn.Parameter(torch.ones(1))
        >>> type(build_optimizer(Recipe(update_rule="nesterov"), [w], [])).__name__
        'SGD'
    """
    decay = recipe.weight_decay if recipe.penalty == "l2" else 0.0
    groups = [
        {"params": list(regularized), "weight_decay": decay},
        {"params": list(others), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate, rule = learning_rate(recipe), recipe.update_rule
    if rule == "rmsprop":  # PyTorch has no fused kernel for it
        return torch.optim.RMSprop(groups, lr=rate, foreach=True)
    kernel: dict[str, Any] = {"foreach": True}
    if fused and _can_fuse(groups):
        kernel = {"fused": True}
    if rule in ("sgd", "momentum", "nesterov"):
        mu = 0.0 if rule == "sgd" else recipe.momentum
        momentum = DEFAULT_MOMENTUM if mu is None else mu
        nesterov = rule == "nesterov" and momentum > 0
        return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, **kernel)
    if rule == "adagrad":
        return torch.optim.Adagrad(groups, lr=rate, **kernel)
    family = torch.optim.AdamW if rule == "adamw" else torch.optim.Adam
    return family(groups, lr=rate, **kernel)


def _can_fuse(groups: list[dict[str, Any]]) -> bool:
    """Fused kernels want real floating point parameters on a device that has the kernel."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    return all(
        parameter.is_floating_point() and parameter.device.type in ("cpu", "cuda")
        for parameter in parameters
    )
