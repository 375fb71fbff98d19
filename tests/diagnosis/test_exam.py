"""The course's question: the total loss is flat from the start, what may be the cause?

Of its four answers a low learning rate and a wrong scale of the weights are causes; too strong
regularization and uneven classes are not: with them the loss falls at first.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.diagnosis.test_diagnose import batches, diagnosed, net, with_weights
from torch import Tensor, nn

import chainrule

_FLAT, _FALLEN = 0.02, 0.1  # of the loss that it begins with


def uneven() -> list[tuple[Tensor, Tensor]]:
    """Nine of ten examples are of one class."""
    x = torch.cat([item for item, _ in batches()])
    y = torch.cat([item for _, item in batches()])
    few = torch.cat([(y == 0).nonzero().flatten().repeat(9), (y != 0).nonzero().flatten()[:90]])
    few = few[torch.randperm(len(few), generator=torch.Generator().manual_seed(0))]
    return [(x[rows], y[rows]) for rows in few.split(50)]


def penalized(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores, labels) + sum(
            0.3 * item.pow(2).sum() for item in network.parameters()
        )

    return loss


def fall(answer: chainrule.Diagnosis) -> float:
    """How far the full loss has fallen over the first third of the run as it is."""
    base = next(item for item in answer.replays if item.intervention == "nothing changed")
    losses = [value for _, value in base.losses if value == value]
    return 1 - min(losses[: len(losses) // 3 + 1]) / losses[0]


@pytest.mark.slow
def test_a_low_rate_flattens_the_loss() -> None:
    answer = diagnosed(net(64, 32, 10), batches(), lr=1e-6)
    assert [item.code for item in answer.causes] == ["learning-rate-too-low"]
    assert fall(answer) < _FLAT


@pytest.mark.slow
def test_a_wrong_scale_of_the_weights_flattens_the_loss() -> None:
    small = with_weights(net(64, 32, 32, 32, 10), lambda item: item.mul_(0.01))
    answer = diagnosed(small, batches())
    assert [item.code for item in answer.causes] == ["initialization-too-small"]
    assert fall(answer) < _FLAT


@pytest.mark.slow
def test_strong_regularization_does_not_flatten_it_from_the_start() -> None:
    network = net(64, 32, 10)
    answer = diagnosed(network, batches(), penalized(network))
    assert [item.code for item in answer.causes] == ["regularization-too-strong"], answer.reason
    assert fall(answer) > _FALLEN


@pytest.mark.slow
def test_uneven_classes_do_not_flatten_it_from_the_start() -> None:
    answer = diagnosed(net(64, 32, 10), uneven())
    assert fall(answer) > _FALLEN
