"""The network's table: true, and made without touching the network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from chainrule.analysis.table import network_table
from chainrule.network.source import network


class Branches(nn.Module):
    """Shared, functional, unused, owned directly, frozen: all at once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.scale = nn.Parameter(torch.ones(4))
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(4, 2)
        self.head.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        y, _ = self.attention(y, y, y)
        return self.head((y * self.scale).mean(1))


class Stubborn(nn.Module):
    """Cannot be traced without data."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if float(x.sum()) > 0 else self.fc(-x)


@pytest.mark.parametrize(
    "make", [Branches, lambda: network("digits"), lambda: network("INPUT 1@8x8, MAXOUT2-5")]
)
def test_rows_add_up_to_the_network(make) -> None:
    module = make()
    table = network_table(module, (1, 8, 8))
    assert sum(row.parameters for row in table.rows) == table.parameters
    assert table.parameters == sum(p.numel() for p in module.parameters())
    assert sum(row.trainable for row in table.rows) == table.trainable
    assert table.trainable == sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_outputs_are_those_of_a_real_forward() -> None:
    module = Branches().eval()
    seen: dict[str, tuple[int, ...]] = {}
    for name in ("conv", "norm", "head"):
        module.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: seen.__setitem__(name, tuple(output.shape[1:]))
        )
    module(torch.randn(2, 1, 8, 8))
    rows = {row.name: row.output for row in network_table(module, (1, 8, 8)).rows}
    assert {name: rows[name] for name in seen} == seen


def test_maxout_is_one_row() -> None:
    table = network_table(network("INPUT 6, MAXOUT2-5"), (6,))
    assert [(row.name, row.output, row.parameters) for row in table.rows] == [("maxout1", (5,), 70)]


def test_a_path_that_depends_on_values_is_followed_by_a_run_of_a_copy() -> None:
    table = network_table(Stubborn(), (3,))
    assert ("fc", (2,), 8) in [(row.name, row.output, row.parameters) for row in table.rows]


def test_what_cannot_be_followed_has_no_rows_and_does_not_stop_training() -> None:
    table = network_table(Stubborn(), (4,))
    assert (table.rows, table.parameters) == ((), 8)


@pytest.mark.parametrize("make", [Branches, Stubborn, lambda: network("digits")])
def test_looking_does_not_touch(make) -> None:
    module = make().train()
    fired: list[int] = []
    module.register_forward_hook(lambda *_: fired.append(1))
    before = copy.deepcopy(module.state_dict())
    hooks = [len(layer._forward_hooks) for layer in module.modules()]
    modes = [layer.training for layer in module.modules()]
    state = torch.get_rng_state()
    network_table(module, (1, 8, 8))
    assert fired == []
    assert [len(layer._forward_hooks) for layer in module.modules()] == hooks
    assert [layer.training for layer in module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in module.parameters())
