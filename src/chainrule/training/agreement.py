"""Agreement: whether another execution of a step computes what plain float32 computes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.answer import Answer
from chainrule.training.minibatches import Minibatch
from chainrule.training.step import Step

LOSS_BOUND, NOISE_BOUND = 0.01, 0.5


@dataclass(frozen=True)
class Agreement(Answer):
    """How far the first loss and the first gradients lie from those of plain float32.

    The gradients of a deep network with batch normalization are sensitive before training: with
    bfloat16 those of a ResNet-18 differ by a third of their norm, while those of two minibatches
    differ by more than all of it. So the difference is measured by the noise of the gradient
    from minibatch to minibatch; half of it adds a quarter to the variance that is there anyway.

    Attributes:
        loss_error: difference of the losses / loss.
        gradient_error: norm of the difference of the gradients / norm of the gradients, over all
            parameters together.
        noise: standard deviation of the gradient over minibatches / norm of the gradients,
            estimated from the two halves of the minibatch: ||g1 - g2|| / 2.
    """

    loss_error: float
    gradient_error: float
    noise: float

    @property
    def holds(self) -> bool:
        """Whether both errors are within their bounds (never, when one is not a number)."""
        within = self.gradient_error <= NOISE_BOUND * self.noise
        return self.loss_error <= LOSS_BOUND and within

    @property
    def words(self) -> str:
        """The errors and their bounds in a few words."""
        return (
            f"first loss within {self.loss_error:.1e} of float32 (bound {LOSS_BOUND:g}), gradients "
            f"within {self.gradient_error / max(self.noise, 1e-30):.2g} of their noise over "
            f"minibatches (bound {NOISE_BOUND:g})"
        )


def agreement(plain: Step, other: Step, minibatch: Minibatch) -> Agreement:
    """Compare two steps on copies of one network by their loss and gradients.

    What is drawn at random (dropout and its like) is off, since other arithmetic draws other
    masks; batch statistics are on, as in training.

    Args:
        plain: the reference.
        other: what must agree with it.
        minibatch: of two examples at least.
    """
    half = len(minibatch.labels) // 2
    halves = (minibatch.rows(slice(None, half)), minibatch.rows(slice(half, None)))
    (_, one), (_, another) = (_computed(plain, part._replace(share=1.0)) for part in halves)
    loss, gradients = _computed(plain, minibatch)
    near, near_gradients = _computed(other, minibatch)
    size = max(_distance(gradients), 1e-30)
    return Agreement(
        loss_error=abs(near - loss) / max(abs(loss), 1e-30),
        gradient_error=_distance(gradients, near_gradients) / size,
        noise=_distance(one, another) / 2 / size,
    )


def _computed(step: Step, minibatch: Minibatch) -> tuple[float, list[Tensor]]:
    for layer in step.module.modules():
        layer.training = isinstance(layer, nn.modules.batchnorm._NormBase)
    inputs = step.execution.lay_out(minibatch.inputs)
    done = step.gradients(minibatch._replace(inputs=inputs))
    scale = step.scaler.get_scale()
    gradients = [
        torch.zeros_like(item) if item.grad is None else item.grad / scale
        for item in step.trainable
    ]
    return float(done.data_loss), gradients


def _distance(one: list[Tensor], other: list[Tensor] | None = None) -> float:
    """Euclidean distance over all tensors together (from 0, without another)."""
    gaps = one if other is None else [a - b for a, b in zip(one, other, strict=True)]
    return math.sqrt(sum(float(gap.double().square().sum()) for gap in gaps))
