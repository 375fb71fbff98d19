"""Activations computed again give the same bits, and less is kept for the backward pass."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import chainrule
from chainrule.errors import RecipeError
from chainrule.training.recomputation import recomputing


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(width, width), nn.BatchNorm1d(width, momentum=None)
        self.drop = nn.Dropout(0.3)

    def forward(self, values: Tensor, scale: float = 1.0) -> Tensor:
        return values + scale * self.drop(torch.tanh(self.norm(self.first(values))))


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(8) for _ in range(4))
        self.last = nn.Linear(8, 3)

    def forward(self, values: Tensor) -> Tensor:
        for block in self.blocks:
            values = block(values, scale=0.5)
        return self.last(values)


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, values: Tensor) -> Tensor:
        return self.two(torch.relu(self.one(values)))


def _chain() -> nn.Module:
    text = "[CONV3-6, BN, RELU, DROPOUT(0.2)] x 3, RES[CONV3-6, BN, RELU], POOL2, FC-3"
    return chainrule.network(text, input=(2, 8, 8))


NETWORKS = {"chain": (_chain, (5, 2, 8, 8)), "blocks": (Blocks, (5, 8))}


def _trained(module: nn.Module, inputs: Tensor) -> tuple[dict[str, Tensor], int]:
    """Two steps; gives the state and the most bytes that were kept for a backward pass."""
    kept: dict[int, int] = {}
    own = {item.data_ptr() for item in module.parameters()}

    def pack(value: Tensor) -> Tensor:
        if value.data_ptr() not in own:
            kept[value.data_ptr()] = value.numel() * value.element_size()
        return value

    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for step in range(2):
        torch.manual_seed(step)
        kept.clear()
        optimizer.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            loss = module(inputs).square().mean()
        most = sum(kept.values())
        loss.backward()
        optimizer.step()
    return module.state_dict(), most


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_bits_are_the_same_and_less_is_kept(name: str) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(3)
    module, inputs = make().train(), torch.randn(shape)
    twin = copy.deepcopy(module)
    expected, plain = _trained(twin, inputs)
    with recomputing(module):
        got, less = _trained(module, inputs)
    assert less < 0.7 * plain
    for key, value in expected.items():
        assert torch.equal(got[key], value), key
    assert not any("forward" in vars(layer) for layer in module.modules())


def test_it_is_undone_after_an_error() -> None:
    module = _chain()
    with pytest.raises(ZeroDivisionError), recomputing(module):
        1 / 0  # noqa: B018
    assert "forward" not in vars(module)


def test_a_module_without_parts_is_refused_in_words() -> None:
    with (
        pytest.raises(RecipeError, match=r"no chain or block of layers in Flat"),
        recomputing(Flat()),
    ):
        pass


def test_unwanted_it_changes_nothing() -> None:
    module = Flat()
    with recomputing(module, wanted=False):
        assert "forward" not in vars(module)
