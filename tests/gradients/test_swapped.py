"""Swapped and prefix: shortcuts that give what the whole computation gives, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from chainrule.gradients.network_target import network_target
from chainrule.gradients.prefix import Prefix
from chainrule.gradients.problem import Problem
from chainrule.gradients.swapped import Swapped
from chainrule.gradients.target import Target


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(torch.tanh(self.layer(x))))


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        return self.c(h + torch.relu(self.b(h)))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), (4,)),
    "in place": (
        lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)), (4,),
    ),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2),
                              nn.Flatten(), nn.Linear(8, 3)), (1, 6, 6),
    ),
    "dropout": (
        lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 5), nn.Dropout(0.5),
                              nn.Linear(5, 2)), (4,),
    ),
    "tied": (Tied, (4,)),
    "reused": (Reused, (4,)),
    "skip": (Skip, (4,)),
    "recurrent": (lambda: nn.LSTM(4, 3, batch_first=True), (5, 4)),
    "weight norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))), (4,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_swapped_is_functional_call(name: str) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    module = make().double()
    x = torch.randn(3, *shape, dtype=torch.float64)
    before = {key: item.clone() for key, item in module.state_dict().items()}
    state = {key: item.detach() * 1.5 for key, item in module.named_parameters()}
    state |= {key: item.clone() for key, item in module.named_buffers()}
    torch.manual_seed(1)
    wanted = functional_call(module, {key: item.clone() for key, item in state.items()}, (x,))
    torch.manual_seed(1)
    found = Swapped(module)(state, x)
    pairs = zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]
    for mine, theirs in pairs:
        if isinstance(mine, Tensor):
            assert torch.equal(mine, theirs)
    assert all(torch.equal(before[key], item) for key, item in module.state_dict().items())


def test_swapped_puts_everything_back_when_the_network_fails() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(2, 2))
    own = module[0].weight
    with pytest.raises(RuntimeError):
        Swapped(module)({"0.weight": torch.zeros(3, 4)}, torch.ones(1, 4))
    assert module[0].weight is own


def target_of(name: str) -> Target:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    target = network_target(make(), shape, None, None, torch.float64, 3)
    target.problem.start()
    return target


def evaluations(problem: Problem) -> list[list[Tensor]]:
    """At the point itself, then with each tensor changed."""
    found = [problem.evaluate(problem.leaves)]
    for name, leaf in problem.leaves.items():
        found.append(problem.evaluate(problem.leaves | {name: leaf * 1.25 + 0.125}))
    return [*found, problem.evaluate(problem.leaves)]


@pytest.mark.parametrize("name", [key for key in NETWORKS if key != "weight norm"])
def test_evaluations_that_skip_a_prefix_are_the_whole_ones(name: str) -> None:
    target = target_of(name)
    wanted = evaluations(target.problem)
    graph = target.graph()
    assert graph is not None
    assert target.problem.module is not None
    target.problem.prefix = Prefix(target.problem.module, graph)
    target.problem.prefix.keep()
    for mine, theirs in zip(evaluations(target.problem), wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_what_comes_before_is_not_computed_again() -> None:
    target = target_of("plain")
    module, graph = target.problem.module, target.graph()
    assert isinstance(module, nn.Sequential)
    assert graph is not None
    calls: list[str] = []
    original = module[0].forward

    def counted(x: Tensor) -> Tensor:
        calls.append("first layer")
        return original(x)

    module[0].forward = counted
    prefix = Prefix(module, graph)
    target.problem.prefix = prefix
    prefix.keep()
    target.problem.evaluate(target.problem.leaves)
    leaf = target.problem.leaves["2.weight"]
    target.problem.evaluate(target.problem.leaves | {"2.weight": leaf + 1})
    assert len(calls) == 1
    first = target.problem.leaves["0.weight"]
    target.problem.evaluate(target.problem.leaves | {"0.weight": first + 1})
    assert len(calls) == 2
