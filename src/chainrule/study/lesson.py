"""Lesson: small data and a small training loop, the same for every experiment."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.network.source import network
from chainrule.nn.losses import LOSSES
from chainrule.nn.penalties import penalty, regularized_parameters
from chainrule.training.data.load import load_data
from chainrule.training.recipe import make_recipe
from chainrule.training.update_rules import build_optimizer

Watch = Callable[[int, nn.Module], bool | None]
Change = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Material:
    """Examples to train on and examples held back.

    Attributes:
        inputs: (N, C, H, W) or (N, D), normalized.
        targets: (N,) class numbers.
        held_inputs: examples that are never trained on.
        held_targets: their classes.
    """

    inputs: Tensor
    targets: Tensor
    held_inputs: Tensor
    held_targets: Tensor

    def flat(self) -> Material:
        """The inputs as vectors (N, D)."""
        return Material(
            self.inputs.flatten(1), self.targets, self.held_inputs.flatten(1), self.held_targets
        )


def digits(count: int | None = None, seed: int = 0) -> Material:
    """Handwritten digits: 1,257 training images (1, 8, 8) in ten classes, 360 held back.

    Args:
        count: take only so many of the training images, drawn by ``seed``.
        seed: of that draw; the split itself is always the same.

    Source: E. Alpaydin and C. Kaynak, Optical recognition of handwritten digits, UCI 1998.

    Examples:
        >>> digits(100).inputs.shape
        torch.Size([100, 1, 8, 8])
    """
    whole = _whole()
    if count is None:
        return whole
    order = torch.randperm(len(whole.inputs), generator=generator(seed))[:count]
    return Material(
        whole.inputs[order], whole.targets[order], whole.held_inputs, whole.held_targets
    )


@lru_cache(maxsize=1)
def _whole() -> Material:
    found = load_data("digits", seed=0)
    train, test = found.train, found.test
    return Material(
        found.normalize(train.inputs), train.targets, found.normalize(test.inputs), test.targets
    )


def generator(seed: int) -> torch.Generator:
    """Random numbers of its own, so that one draw does not move another."""
    return torch.Generator().manual_seed(seed)


def net(text: str, seed: int, shape: Sequence[int] = (1, 8, 8)) -> nn.Module:
    """A network by its notation, with weights drawn by ``seed``.

    Args:
        text: chainrule's notation without INPUT.
        seed: of the weights (PyTorch's usual initialization).
        shape: of one example.

    Examples:
        >>> sum(p.numel() for p in net("FC-10", 0).parameters())
        650
    """
    torch.manual_seed(seed)
    return network(text, input=tuple(shape))


@dataclass
class Fitted:
    """How a training went.

    Attributes:
        module: the trained network.
        losses: the full loss of each minibatch, before its update (nats for softmax).
        data_losses: the same without the penalty.
        diverged: whether it ended early because the loss was no longer finite.
    """

    module: nn.Module
    losses: list[float] = field(default_factory=list)
    data_losses: list[float] = field(default_factory=list)
    diverged: bool = False


def fit(
    module: nn.Module,
    material: Material,
    *,
    steps: int,
    seed: int,
    batch: int = 64,
    rate: float | None = None,
    update_rule: str = "sgd",
    momentum: float | None = None,
    weight_decay: float = 0.0,
    loss: str = "softmax",
    change: Change | None = None,
    watch: Watch | None = None,
) -> Fitted:
    """Train a network on minibatches, drawn epoch by epoch without return.

    Args:
        module: changed in place.
        material: only its training part is used.
        steps: updates.
        seed: of the order of the examples (dropout follows PyTorch's global state).
        batch: examples per minibatch; at most all of them.
        rate: learning rate; None takes the update rule's usual one.
        update_rule: sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw.
        momentum: mu; None takes 0.9 for momentum and nesterov.
        weight_decay: lambda of the full loss, ``data + lambda/2 sum of W^2`` (biases spared).
        loss: name of the data loss.
        change: augmentation: minibatch and generator to another minibatch.
        watch: called with (step, module) after each backward pass, before the update; the
            training ends where it returns True.
    """
    rule = make_recipe(
        {"update_rule": update_rule, "learning_rate": rate, "momentum": momentum,
         "batch_size": 1}
    )  # fmt: skip
    optimizer = build_optimizer(rule, module.parameters(), [], fused=False)
    regularized = regularized_parameters(module) if weight_decay else []
    random = generator(seed)
    found = Fitted(module)
    module.train()
    orders = _orders(len(material.inputs), batch, random)
    for step, chosen in enumerate(islice(orders, steps)):
        inputs = material.inputs[chosen]
        if change is not None:
            inputs = change(inputs, random)
        data_loss = LOSSES[loss](module(inputs), material.targets[chosen], check=False)
        full = data_loss + weight_decay * penalty(regularized) if regularized else data_loss
        optimizer.zero_grad()
        torch.autograd.backward(full)
        found.losses.append(full.item())
        found.data_losses.append(data_loss.item())
        if not math.isfinite(found.losses[-1]):
            found.diverged = True
            return found
        if watch is not None and watch(step, module) is True:
            return found
        optimizer.step()
    return found


def _orders(count: int, batch: int, random: torch.Generator) -> Any:
    """Places of the examples of one minibatch after the other, without end."""
    batch = min(batch, count)
    while True:
        order = torch.randperm(count, generator=random)
        yield from (order[start : start + batch] for start in range(0, count - batch + 1, batch))


@torch.no_grad()
def loss_of(module: nn.Module, inputs: Tensor, targets: Tensor, loss: str = "softmax") -> float:
    """The data loss in evaluation mode; the mode is put back."""
    with evaluated(module):
        return float(LOSSES[loss](module(inputs), targets, check=False))


@torch.no_grad()
def accuracy_of(module: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Share of right classes in evaluation mode; the mode is put back."""
    with evaluated(module):
        return float((module(inputs).argmax(1) == targets).double().mean())


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while."""
    before = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(before)


def smoothed(values: Sequence[float], width: int = 20) -> list[float]:
    """The running mean over the last ``width`` values.

    Examples:
        >>> smoothed([0.0, 2.0, 4.0], 2)
        [0.0, 1.0, 3.0]
    """
    found = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - width) : end]
        found.append(sum(window) / len(window))
    return found
