"""What several networks in a row say of a minibatch, against the networks called by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.diagnosis.replaying.scout import Scout
from chainrule.diagnosis.taps import Taps

X, Y = torch.randn(40, 3), torch.randint(4, (40,))
Say = Callable[[nn.Module, nn.Module, Tensor], Any]


class Spread(nn.Module):
    """Two tensors in one output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"aside": x.sum(1), "h": self.layer(x)}


def scouted(
    say: Say,
    encoder: nn.Module,
    head: nn.Module,
    loss: Callable[[Any, Tensor], Tensor] = F.cross_entropy,
) -> Scout:
    scout = Scout(networks=[encoder, head])
    watcher = scout.watcher()
    taps = Taps(watcher)
    optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], 0.1)
    taps.open()
    watcher.start()
    try:
        for place in range(0, 40, 8):
            loss(say(encoder, head, X[place : place + 8]), Y[place : place + 8]).backward()
            optimizer.step()
            optimizer.zero_grad()
    finally:
        watcher.stop()
        taps.close()
    return scout


WAYS: dict[str, tuple[Say, type[nn.Module]]] = {
    "one behind the other": (lambda one, two, x: two(one(x)), nn.Linear),
    "with functions between and behind": (
        lambda one, two, x: two(one(x).relu() * 2).log_softmax(1), nn.Linear,
    ),
    "cut between them": (lambda one, two, x: two(one(x).detach()), nn.Linear),
    "one of two outputs": (lambda one, two, x: two(one(x)["h"].tanh()), Spread),
    "used twice on the way": (
        lambda one, two, x: two((h := one(x)).sigmoid() * h), nn.Linear,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_networks_in_a_row_say_what_they_say_by_hand(name: str) -> None:
    say, kind = WAYS[name]
    encoder, head = Spread() if kind is Spread else nn.Linear(3, 5), nn.Linear(5, 4)
    scout = scouted(say, encoder, head)
    assert [item.networks for item in scout.pool] == [(0, 1)] * 5
    assert scout.yardstick().task == "classes"
    fresh, other = Spread() if kind is Spread else nn.Linear(3, 5), nn.Linear(5, 4)
    for item, begin in zip(scout.pool, range(0, 40, 8), strict=True):
        wanted = say(fresh, other, X[begin : begin + 8])
        found = item.said([fresh, other])
        assert found is not None
        assert torch.equal(found, wanted)
    assert scout.pool[0].said([fresh]) is None, "the head has not been met yet"


def test_networks_that_see_different_things_give_no_yardstick() -> None:
    def say(one: nn.Module, two: nn.Module, x: Tensor) -> Tensor:
        return two(x) + one(-x)

    scout = scouted(say, nn.Linear(3, 4), nn.Linear(3, 4))
    assert not scout.pool
    assert scout.yardstick().task == ""
    assert "2 networks" in scout.why


def test_what_is_computed_from_weights_elsewhere_gives_no_yardstick() -> None:
    scout = scouted(
        lambda one, two, x: two(one(x)) @ one.weight[:4, :1].expand(4, 4), nn.Linear(3, 5),
        nn.Linear(5, 4),
    )  # fmt: skip
    assert not scout.pool


def test_what_is_changed_in_place_on_the_way_gives_no_yardstick() -> None:
    scout = scouted(
        lambda one, two, x: (two(one(x)) * 2).add_(1.0), nn.Linear(3, 5), nn.Linear(5, 4)
    )
    assert not scout.pool


def test_each_part_of_an_accumulated_minibatch_is_heard() -> None:
    network = nn.Linear(3, 4)
    scout = Scout(networks=[network])
    watcher = scout.watcher()
    taps = Taps(watcher)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    taps.open()
    watcher.start()
    try:
        for place in range(0, 40, 8):
            rows = slice(place, place + 8)
            F.cross_entropy(network(X[rows]) * 2 - 1, Y[rows]).backward()
            if place % 16:
                optimizer.step()
                optimizer.zero_grad()
    finally:
        watcher.stop()
        taps.close()
    assert [len(item.links) for item in scout.pool] == [2] * 5


@pytest.mark.parametrize("teacher_first", [True, False])
def test_a_teacher_makes_targets_and_is_not_measured(teacher_first: bool) -> None:
    student, teacher = nn.Linear(3, 4), nn.Linear(3, 4)

    def loss(both: tuple[Tensor, Tensor], _labels: Tensor) -> Tensor:
        return F.mse_loss(both[0].softmax(1), both[1].softmax(1).detach())

    def say(_one: nn.Module, _two: nn.Module, x: Tensor) -> Any:
        if teacher_first:
            taught = teacher(x)
            return student(x), taught
        return student(x), teacher(x)

    order = (teacher, student) if teacher_first else (student, teacher)
    scout = scouted(say, *order, loss)
    assert [item.networks for item in scout.pool] == [(order.index(student),)] * 5
    found = scout.pool[0].said(list(order))
    assert found is not None
    assert torch.equal(found, student(X[:8]).softmax(1))
    assert torch.equal(scout.pool[0].target, teacher(X[:8]).softmax(1))


def test_a_network_that_is_to_be_deceived_gives_no_yardstick() -> None:
    def deceived(scores: Tensor, _labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))

    scout = scouted(lambda one, two, x: two(one(x)), nn.Linear(3, 5), nn.Linear(5, 1), deceived)
    assert len(scout.pool) == 5
    assert scout.yardstick().task == ""


def test_networks_that_take_turns_give_no_yardstick() -> None:
    turn = iter(range(5))

    def say(one: nn.Module, two: nn.Module, x: Tensor) -> Tensor:
        return two(one(x)) if next(turn) % 2 else two(x.repeat(1, 2)[:, :5])

    scout = scouted(say, nn.Linear(3, 5), nn.Linear(5, 4))
    assert scout.yardstick().task == ""
    assert "in turn" in scout.why
