"""Penalties, the full loss and the max-norm constraint against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import nn_layers as twin
from torch import nn

from chainrule.errors import NetworkError, RecipeError
from chainrule.nn.dropconnect import DropConnectLinear
from chainrule.nn.maxout import Maxout
from chainrule.nn.penalties import (
    PENALTIES,
    apply_max_norm_,
    full_loss,
    penalty,
    regularized_parameters,
)


class RootMeanSquareNorm(nn.Module):
    """A normalization layer that is not PyTorch's."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.PReLU(),
        nn.Flatten(),
        Maxout(8, units=3, pieces=2),
        nn.LayerNorm(3),
        RootMeanSquareNorm(3),
        DropConnectLinear(3, 2),
    ).double()


WEIGHTS = ["0.weight", "4.linear.weight", "7.weight"]
BIASES = ["0.bias", "2.weight", "4.linear.bias", "7.bias"]
NORMS = ["1.weight", "1.bias", "5.weight", "5.bias", "6.gain"]


def names(module: nn.Module, **which: bool) -> list[str]:
    return [name for name, _ in regularized_parameters(module, **which)]


def test_r_touches_weights_only_unless_asked() -> None:
    net = network()
    assert names(net) == WEIGHTS
    assert sorted(names(net, biases=True)) == sorted(WEIGHTS + BIASES)
    assert sorted(names(net, norms=True)) == sorted(WEIGHTS + NORMS)
    everything = sorted(name for name, _ in net.named_parameters())
    assert sorted(names(net, biases=True, norms=True)) == everything


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(2),
        nn.SyncBatchNorm(2),
        nn.InstanceNorm1d(2, affine=True),
        nn.GroupNorm(1, 2),
        nn.LayerNorm((2, 2)),
        nn.RMSNorm((2, 2)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_each_normalization_layer_of_pytorch_is_known(layer: nn.Module) -> None:
    layer.__class__ = type("Standardize", (type(layer),), {})  # known by its kind, not its name
    assert names(layer, biases=True) == []
    assert names(layer, norms=True) == [name for name, _ in layer.named_parameters()]


def test_biases_with_longer_names_are_biases() -> None:
    assert names(nn.LSTM(2, 2)) == ["weight_ih_l0", "weight_hh_l0"]
    assert names(nn.MultiheadAttention(2, 1)) == ["in_proj_weight", "out_proj.weight"]


def test_shared_parameters_come_once_and_frozen_ones_not() -> None:
    first, second, frozen = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    frozen.requires_grad_(False)
    assert names(nn.Sequential(first, second, frozen)) == ["0.weight"]


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_penalty_equals_its_slow_twin(kind: str, ratio: float) -> None:
    chosen = regularized_parameters(network())
    expected = twin.penalty([p.detach().numpy() for _, p in chosen], kind, ratio)
    ours = penalty(chosen, kind, ratio)
    assert ours.dtype == torch.float64
    assert ours.item() == pytest.approx(expected, rel=1e-12)
    assert penalty([p for _, p in chosen], kind, ratio) == ours


def test_gradients_are_w_and_its_sign() -> None:
    weights = torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64, requires_grad=True)
    (l2,) = torch.autograd.grad(penalty([weights], "l2"), weights)
    (l1,) = torch.autograd.grad(penalty([weights], "l1"), weights)
    (both,) = torch.autograd.grad(penalty([weights], "elastic", 0.25), weights)
    assert l2.tolist() == [2.0, -3.0, 0.0]
    assert l1.tolist() == [1.0, -1.0, 0.0]
    assert both.tolist() == [1.75, -2.5, 0.0]


@pytest.mark.parametrize("kind", PENALTIES)
def test_penalty_gradient_equals_central_differences(kind: str) -> None:
    weights = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: penalty([w], kind), (weights,))


def test_l2_in_the_loss_equals_weight_decay_of_sgd() -> None:
    decayed, penalized = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    penalized.load_state_dict(decayed.state_dict())
    x = torch.randn(4, 3)
    rules = [
        torch.optim.SGD(decayed.parameters(), lr=0.1, weight_decay=0.3),
        torch.optim.SGD(penalized.parameters(), lr=0.1),
    ]
    decayed(x).square().mean().backward()
    full_loss(penalized(x).square().mean(), penalized, strength=0.3).backward()
    for rule in rules:
        rule.step()
    torch.testing.assert_close(decayed.weight, penalized.weight)


def test_full_loss_adds_lambda_times_r() -> None:
    net, data = network(), torch.tensor(2.0, dtype=torch.float64)
    expected = twin.penalty([p.detach().numpy() for p in net.parameters()], "elastic", 0.2)
    loss = full_loss(data, net, 0.5, "elastic", 0.2, biases=True, norms=True)
    assert loss.item() == pytest.approx(2.0 + 0.5 * expected, rel=1e-12)
    assert full_loss(data, net, 0) is data


def test_no_parameters_no_penalty() -> None:
    assert penalty([]).item() == 0
    assert full_loss(torch.tensor(3.0), nn.ReLU(), 0.1).item() == 3.0


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: penalty([], "l3"), ["kind", "'l3'", "l2, l1, elastic"]),
        (lambda: penalty([], "elastc"), ["'elastc'", "did you mean 'elastic'"]),
        (lambda: penalty([], "elastic", 1.5), ["l1_ratio", "[0, 1]", "1.5", "1 is pure L1"]),
        (
            lambda: full_loss(torch.zeros(()), nn.ReLU(), -0.1),
            ["strength", "at least 0", "-0.1", "use 0"],
        ),
        (lambda: full_loss(torch.zeros(()), nn.ReLU(), 0, "l3"), ["kind", "'l3'"]),
        (lambda: full_loss(torch.zeros(()), nn.ReLU(), float("inf")), ["strength", "finite"]),
        (lambda: apply_max_norm_(nn.ReLU(), 0), ["limit", "above 0", "got 0", "3 or 4"]),
    ],
)
def test_wrong_settings_are_refused(call: object, fragments: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


LAYERS = {
    "linear": nn.Linear(5, 4),
    "convolution": nn.Conv2d(4, 6, 3, groups=2),
    "channels last": nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last),
    "1d": nn.Conv1d(3, 4, 5),
    "transposed": nn.ConvTranspose2d(4, 6, 3, groups=2),
    "transposed 3d": nn.ConvTranspose3d(2, 3, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_max_norm_equals_its_slow_twin(name: str) -> None:
    layer = LAYERS[name].double()
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    before, bias = layer.weight.detach().clone().numpy(), layer.bias.detach().clone()
    transposed = isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d)
    groups = getattr(layer, "groups", 1)
    norms = [
        np.sqrt(sum(before[i] ** 2 for i in unit))
        for unit in twin.incoming(before, transposed, groups)
    ]
    limit = float(np.median(norms))  # some units are above it, some below
    apply_max_norm_(layer, limit)
    expected = twin.max_norm(before, limit, transposed, groups)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-12)
    assert (expected != before).any()
    assert (layer.weight.detach().numpy() == before).any(), (
        "units within the limit stay bit for bit"
    )
    assert torch.equal(layer.bias, bias)


def test_max_norm_leaves_zero_frozen_and_other_weights() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Embedding(2, 2))
    nn.init.zeros_(net[0].weight)
    nn.init.constant_(net[1].weight.requires_grad_(False), 9.0)
    nn.init.constant_(net[2].weight, 9.0)
    apply_max_norm_(net, 1.0)
    assert net[0].weight.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert net[1].weight.tolist() == net[2].weight.tolist() == [[9.0, 9.0], [9.0, 9.0]]
    assert net[0].weight.grad_fn is None


def test_max_norm_refuses_computed_and_lazy_weights() -> None:
    computed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(NetworkError, match=r"layer '0' computes its weight .* parametrized"):
        apply_max_norm_(computed, 1.0)
    with pytest.raises(NetworkError, match=r"layer 'LazyLinear' is lazy .* run the network once"):
        apply_max_norm_(nn.LazyLinear(2), 1.0)
