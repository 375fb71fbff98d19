"""Differences: forward and centred, along single parameters of a network, and the kinks between."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.study.lesson import digits, net

Loss = Callable[[float], float]


def forward(loss: Loss, step: float) -> float:
    """``(f(x + h) - f(x)) / h``: off by ``h f'' / 2``.

    Args:
        loss: f as a function of the distance from x.
        step: h.
    """
    return (loss(step) - loss(0.0)) / step


def centred(loss: Loss, step: float) -> float:
    """``(f(x + h) - f(x - h)) / 2h``: off by ``h^2 f''' / 6``, the even terms cancel."""
    return (loss(step) - loss(-step)) / (2 * step)


METHODS = {"forward": forward, "centred": centred}


class Place:
    """A network, a minibatch and the loss along single parameters.

    Args:
        text: notation.
        examples: in the minibatch.
        dtype: of all numbers.
        seed: of weights and examples.
    """

    def __init__(self, text: str, examples: int, dtype: torch.dtype, seed: int) -> None:
        material = digits(examples, seed).flat()
        self.module = net(text, seed, (64,)).to(dtype)
        self.inputs = material.inputs.to(dtype)
        self.targets = material.targets

    @property
    def first(self) -> nn.Linear:
        """The first layer."""
        return next(layer for layer in self.module.modules() if isinstance(layer, nn.Linear))

    def along(self, parameter: Tensor, place: int) -> Loss:
        """The loss against the distance that one element has been moved."""
        flat = parameter.detach().view(-1)
        start = flat[place].item()

        def loss(distance: float) -> float:
            flat[place] = start + distance
            with torch.no_grad():
                value = self._loss().item()
            flat[place] = start
            return value

        return loss

    def gradient(self, parameter: Tensor, place: int, distance: float = 0.0) -> float:
        """The slope by autograd when that element has been moved."""
        flat = parameter.detach().view(-1)
        start = flat[place].item()
        flat[place] = start + distance
        (found,) = torch.autograd.grad(self._loss(), parameter)
        flat[place] = start
        return float(found.flatten()[place])

    def _loss(self) -> Tensor:
        return nn.functional.cross_entropy(self.module(self.inputs), self.targets)


def error(found: Sequence[float], true: Sequence[float]) -> float:
    """The distance of two vectors as a share of the true one's length."""
    difference = np.subtract(found, true)
    return float(np.linalg.norm(difference) / np.linalg.norm(true))


def order(steps: Sequence[float], errors: Sequence[float]) -> float:
    """The power of the step that the error goes with: the slope in log-log.

    Examples:
        >>> round(order([0.1, 0.01], [3e-2, 3e-4]), 6)
        2.0
    """
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def shifted(loss: Loss, distance: float) -> Loss:
    """The loss seen from another place."""
    return lambda further: loss(distance + further)


def crossings(module: nn.Linear, inputs: Tensor, step: float) -> tuple[int, int]:
    """How many kinks lie in ``(x, x + h]`` and in ``[x - h, x + h]``, over all weights x.

    The input to a ReLU is z + d p when a weight on pixel p moves by d: 0 at d = -z / p.

    Args:
        module: the layer before the ReLU.
        inputs: (examples, pixels).
        step: h.
    """
    with torch.no_grad():
        at = -module(inputs)[:, :, None] / inputs[:, None, :]  # (examples, units, pixels)
    return int(((at > 0) & (at <= step)).sum()), int((at.abs() <= step).sum())
