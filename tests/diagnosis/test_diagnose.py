"""Planted faults and healthy look-alikes, diagnosed from the parts of a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.faults.watching import digits, mlp
from torch import Tensor, nn

import chainrule
from chainrule.errors import RecipeError

Batches = list[tuple[Tensor, Tensor]]


def batches(scale: float = 1.0, shift: float = 0.0, size: int = 50) -> Batches:
    x, y = digits()
    x = (x * scale + shift)[:1000]
    return [(x[i : i + size], y[i : i + size]) for i in range(0, 1000, size)]


def regression(squeeze: bool, scale: float = 1.0) -> Batches:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 5, generator=generator)
    y = scale * (x[:, :1] * x[:, 1:2] + x[:, 2:3])
    y = y.squeeze(1) if squeeze else y
    return [(x[i : i + 50], y[i : i + 50]) for i in range(0, 600, 50)]


def net(*sizes: int, **options: Any) -> nn.Sequential:
    torch.manual_seed(0)
    return mlp(*sizes, **options)


def with_weights(network: nn.Module, change: Callable[[Tensor], Any]) -> nn.Module:
    with torch.no_grad():
        for item in network.parameters():
            change(item)
    return network


def diagnosed(
    network: nn.Module, data: Batches, loss: Callable[..., Tensor] = F.cross_entropy,
    rule: Callable[..., torch.optim.Optimizer] = torch.optim.SGD, **settings: Any,
) -> chainrule.Diagnosis:  # fmt: skip
    parameters = settings.pop("parameters", None) or network.parameters()
    return chainrule.diagnose(
        network=network, loss=loss, batches=data, epochs=settings.pop("epochs", 12),
        optimizer=rule(parameters, **({"lr": 0.1} | settings)), seconds=60,
    )  # fmt: skip


FAULTS: dict[str, tuple[set[str], Callable[[], chainrule.Diagnosis]]] = {
    "rate too low": (
        {"learning-rate-too-low"}, lambda: diagnosed(net(64, 32, 10), batches(), lr=1e-5),
    ),
    "rate too high": (
        {"learning-rate-too-high"}, lambda: diagnosed(net(64, 32, 10), batches(), lr=50.0),
    ),
    "zero weights": (
        {"symmetric-initialization"},
        lambda: diagnosed(with_weights(net(64, 32, 32, 10), nn.init.zeros_), batches()),
    ),
    "tiny weights": (
        {"initialization-too-small"},
        lambda: diagnosed(with_weights(net(64, 32, 32, 32, 10), lambda p: p.mul_(0.01)),
                          batches()),
    ),
    "softmax twice": (
        {"loss-expects-logits"},
        lambda: diagnosed(
            nn.Sequential(*net(64, 32, 10), nn.Softmax(1)), batches(), lr=0.5, epochs=15),
    ),
    "raw inputs": (
        {"inputs-not-normalized"},
        lambda: diagnosed(net(64, 32, 10), batches(255.0, 300.0), lr=0.05),
    ),
    "broadcast": (
        {"shapes-broadcast"},
        lambda: diagnosed(net(5, 32, 1), regression(True), F.mse_loss, torch.optim.Adam, lr=0.01,
                          epochs=25),
    ),
    "decay": (
        {"regularization-too-strong"},
        lambda: diagnosed(net(64, 32, 10), batches(), weight_decay=1.0),
    ),
    "upside down": (
        {"loss-sign-flipped"},
        lambda: diagnosed(net(64, 32, 10), batches(), lambda s, y: -F.cross_entropy(s, y)),
    ),
    "two at once": (
        {"inputs-not-normalized", "symmetric-initialization"},
        lambda: diagnosed(with_weights(net(64, 32, 32, 10), nn.init.zeros_),
                          batches(255.0, 300.0), lr=0.05),
    ),
}  # fmt: skip

HEALTHY: dict[str, Callable[[], chainrule.Diagnosis]] = {
    "plain": lambda: diagnosed(net(64, 32, 10), batches()),
    "log_softmax before cross entropy": lambda: diagnosed(
        nn.Sequential(*net(64, 32, 10), nn.LogSoftmax(1)), batches()
    ),
    "one layer": lambda: diagnosed(net(64, 10), batches(), lr=0.5, epochs=20),
    "decay that is sensible": lambda: diagnosed(net(64, 32, 10), batches(), weight_decay=1e-3),
    "regression": lambda: diagnosed(
        net(5, 64, 1), regression(False), F.mse_loss, torch.optim.Adam, lr=0.01, epochs=40
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_planted_faults_are_named_and_proved(name: str) -> None:
    codes, run = FAULTS[name]
    answer = run()
    found = {item.code for item in answer.causes}
    assert answer.verdict == "faulty", answer.reason
    assert found == codes or tuple(sorted(codes)) in answer.equivalent, answer.reason
    assert {item.status for item in answer.causes} == {"proved"}
    assert all(held for _, held in answer.controls)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_look_alikes_are_healthy(name: str) -> None:
    answer = HEALTHY[name]()
    assert (answer.verdict, answer.causes) == ("healthy", ()), answer.reason


def test_other_optimizers_of_the_process_are_none_of_its_training() -> None:
    other = nn.Linear(3, 3)
    kept = torch.optim.SGD(other.parameters(), lr=0.1)
    other(torch.ones(1, 3)).sum().backward()  # its gradients are never cleared
    answer = diagnosed(net(64, 32, 10), batches())
    assert answer.verdict == "healthy", answer.reason
    assert kept.param_groups


def test_the_parts_stay_as_they_were() -> None:
    network = net(64, 16, 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    before = [item.detach().clone() for item in network.parameters()]
    state, call = torch.get_rng_state(), nn.Module.__call__
    chainrule.diagnose(
        network=network, loss=F.cross_entropy, batches=batches()[:4], optimizer=optimizer,
        epochs=10, seconds=20,
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert optimizer.state == {}
    assert nn.Module.__call__ is call


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "wants a script, or all of network, loss, batches and optimizer"),
        ({"network": nn.Linear(1, 1)}, "wants a script, or all of"),
        ({"script": "train.py", "network": nn.Linear(1, 1)}, "wants one of them"),
        (
            {"network": nn.Linear(1, 1), "loss": F.mse_loss, "batches": iter([]),
             "optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters())},
            "batches got an iterator",
        ),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        chainrule.diagnose(**parts)
