"""Initial weights: their statistics from counted connections, and LSUV's effect and manners."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from tests.reference import nn_layers as twin
from torch import nn

from chainrule.errors import DataError, NetworkError, RecipeError
from chainrule.nn.dropconnect import DropConnectConv2d
from chainrule.nn.initializers import INITIALIZERS, initialize
from chainrule.nn.maxout import Maxout
from chainrule.nn.residual import Residual

LAYERS = {
    "linear": (nn.Linear(120, 90), (120, 90, 1, 1)),
    "convolution": (nn.Conv2d(30, 40, 3), (30, 40, 9, 1)),
    "grouped": (nn.Conv2d(40, 60, 3, groups=2), (40, 60, 9, 2)),
    "transposed": (nn.ConvTranspose2d(30, 40, 3), (30, 40, 9, 1)),
    "transposed grouped": (nn.ConvTranspose2d(60, 40, 3, groups=2), (60, 40, 9, 2)),
    "dropconnect": (DropConnectConv2d(30, 40, 3), (30, 40, 9, 1)),
    "maxout": (Maxout(100, units=30, pieces=3).linear, (100, 90, 1, 1)),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", ["kaiming", "he", "xavier", "glorot", "normal"])
def test_variance_of_the_weights(layer: str, name: str) -> None:
    module, shape = LAYERS[layer]
    fan_in, fan_out = twin.fans(*shape)
    variance = {
        "kaiming": 2 / fan_in,
        "he": 2 / fan_in,
        "xavier": 2 / (fan_in + fan_out),
        "glorot": 2 / (fan_in + fan_out),
        "normal": 0.05**2,
    }[name]
    initialize(module, name, std=0.05, generator=generator())
    weights = module.weight.detach().double()
    # Standard error of a variance from n draws: at most sqrt(2 / n) of it (normal draws).
    error = math.sqrt(2 / weights.numel())
    assert weights.var().item() == pytest.approx(variance, rel=5 * error)
    assert abs(weights.mean().item()) < 5 * math.sqrt(variance / weights.numel())
    bounded = weights.abs().max() <= math.sqrt(3 * variance) * (1 + 1e-6)
    assert bounded == (name in ("xavier", "glorot")), "xavier is uniform, the others normal"
    assert module.bias.abs().sum() == 0


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(8, 5), nn.Linear(5, 8), nn.Conv2d(4, 6, 3, groups=2), nn.Linear(4, 4).half()],
)
def test_orthogonal_has_orthonormal_rows_or_columns(layer: nn.Module) -> None:
    initialize(layer, "orthogonal", generator=generator())
    tolerance = 1e-2 if layer.weight.dtype == torch.float16 else 1e-5
    for group in layer.weight.detach().float().chunk(getattr(layer, "groups", 1)):
        rows = group.flatten(1)
        product = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        torch.testing.assert_close(product, torch.eye(len(product)), atol=tolerance, rtol=0)


def test_orthogonal_transposed_convolution_keeps_the_norm() -> None:
    """At stride = kernel every output sees one position, so the layer is one matrix."""
    layer = nn.ConvTranspose1d(6, 4, 1, groups=2, bias=False)
    initialize(layer, "orthogonal", generator=generator())
    x = torch.randn(1, 6, 1, generator=generator())
    columns = torch.stack([layer(e.view(1, 6, 1)).flatten() for e in torch.eye(6)], dim=1)
    torch.testing.assert_close(columns @ columns.T, torch.eye(4))
    torch.testing.assert_close(layer(x).flatten(), columns @ x.flatten())


def test_zeros_and_default() -> None:
    layer = nn.Linear(3, 3)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    assert initialize(layer, "default") is layer
    assert all(torch.equal(layer.state_dict()[name], before[name]) for name in before)
    initialize(layer, "zeros")
    assert all(value.abs().sum() == 0 for value in layer.state_dict().values())


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "default"])
def test_only_weighted_layers_are_touched(name: str) -> None:
    net = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.PReLU())
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.7)
    batch = torch.tensor([0, 1, 2])
    nn.init.normal_(net[0].weight, generator=generator())
    others = {k: v.clone() for k, v in net.state_dict().items() if not k.startswith("1.")}
    initialize(net, name, batch=batch)
    assert all(torch.equal(net.state_dict()[k], v) for k, v in others.items())
    assert not (net[1].weight == 0.7).any()


def test_generator_alone_decides() -> None:
    def weights(seed: int) -> torch.Tensor:
        return initialize(nn.Linear(3, 3), "kaiming", generator=generator(seed)).weight

    state = torch.random.get_rng_state()
    layer = nn.Linear(3, 3)
    torch.random.set_rng_state(state)
    initialize(layer, "kaiming", generator=generator())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_kaiming_keeps_the_scale_through_thirty_relu_layers() -> None:
    net = nn.Sequential(*[part for _ in range(30) for part in (nn.Linear(256, 256), nn.ReLU())])
    initialize(net, "kaiming", generator=generator())
    x = torch.randn(64, 256, generator=generator(1))
    assert 0.2 < net(x).square().mean() / x.square().mean() < 5


class Branched(nn.Module):
    """Registers its layers in another order than it uses them, and misbehaves in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(32, 16)
        self.block = Residual(nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)))
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.again = nn.Linear(32, 32)
        self.unused = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.9)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls = self.calls + 1
        x = self.block(self.first(x * 40)).relu()
        x = F.dropout(F.max_pool2d(x, 4).flatten(1), 0.01, training=True)
        return self.last(self.dropout(self.again(self.again(x))))


def outputs(net: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each layer's first output in eval mode, by plain hooks."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        seen.setdefault(name, output)

    handles = [
        layer.register_forward_hook(lambda *call, name=name: keep(name, call[2]))
        for name, layer in net.named_modules()
    ]
    net.eval()
    with torch.no_grad():
        net(batch)
    for handle in handles:
        handle.remove()
    return seen


def test_lsuv_gives_each_layer_unit_variance() -> None:
    net, batch = Branched(), torch.randn(64, 3, 8, 8, generator=generator())
    initialize(net, "orthogonal", generator=generator())
    before = outputs(net, batch)
    assert before["first"].var() > 100, "the batch is far from unit scale"
    initialize(net.train(), "lsuv", batch=batch, generator=generator())
    after = outputs(net, batch)
    for name in ("first", "block.branch.1", "again", "last"):
        assert after[name].var(correction=0).item() == pytest.approx(1, abs=0.1), name
    product = net.unused.weight @ net.unused.weight.T
    torch.testing.assert_close(product, torch.eye(4), msg="an unused layer stays orthogonal")


def test_lsuv_only_rescales_the_orthogonal_weights() -> None:
    net, batch = nn.Linear(8, 4), torch.randn(50, 8, generator=generator()) * 3
    initialize(net, "lsuv", batch=batch, generator=generator())
    rows = net.weight @ net.weight.T
    torch.testing.assert_close(rows, rows[0, 0] * torch.eye(4))


def test_lsuv_leaves_everything_else_as_it_was() -> None:
    net, batch = Branched(), torch.randn(8, 3, 8, 8, generator=generator())
    net.train()
    net.block.eval()
    seen: list[float] = []
    net.first.register_forward_hook(lambda *call: seen.append(call[2].var().item()))
    hooks = {name: list(layer._forward_hooks) for name, layer in net.named_modules()}
    modes = {name: layer.training for name, layer in net.named_modules()}
    buffers = {name: (value, value.clone()) for name, value in net.named_buffers()}
    gradients = [parameter.requires_grad for parameter in net.parameters()]
    state = torch.random.get_rng_state()
    initialize(net, "lsuv", batch=batch, generator=generator())
    assert seen == [pytest.approx(1, abs=0.1)], "the user's own hook sees the scaled output"
    assert {name: list(layer._forward_hooks) for name, layer in net.named_modules()} == hooks
    assert {name: layer.training for name, layer in net.named_modules()} == modes
    for name, value in net.named_buffers():
        assert value is buffers[name][0]
        assert torch.equal(value, buffers[name][1]), name
    assert [parameter.requires_grad for parameter in net.parameters()] == gradients
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_lsuv_cleans_up_after_a_batch_that_does_not_fit() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(5, 2)).train()
    with pytest.raises(DataError) as error:
        initialize(net, "lsuv", batch=torch.randn(3, 4))
    assert "\n" not in str(error.value)
    for fragment in ("'lsuv'", "(3, 4)", "torch.float32", "cannot be multiplied"):
        assert fragment in str(error.value)
    assert all(layer.training and not layer._forward_hooks for layer in net.modules())


@pytest.mark.parametrize(
    ("batch", "fragments"),
    [
        (None, ["'lsuv'", "got none", "batch="]),
        (torch.zeros(0, 4), ["empty batch", "(0, 4)", "at least one"]),
        (torch.full((2, 4), math.nan), ["nan or inf", "remove"]),
        (torch.zeros(3, 4), ["layer '0'", "variance 0.0", "several different examples"]),
        (torch.ones(1, 4), ["layer '0'", "variance 0.0", "several different examples"]),
    ],
)
def test_lsuv_needs_a_usable_batch(batch: torch.Tensor | None, fragments: list[str]) -> None:
    net = nn.Sequential(nn.Linear(4, 1))
    before = net[0].weight.clone()
    with pytest.raises(DataError) as error:
        initialize(net, "lsuv", batch=batch)
    for fragment in fragments:
        assert fragment in str(error.value)
    if batch is None or batch.numel() == 0 or batch.isnan().any():
        assert torch.equal(net[0].weight, before), "refused before anything was set"


def test_lsuv_of_a_network_without_weights() -> None:
    assert isinstance(initialize(nn.ReLU(), "lsuv", batch=torch.ones(1)), nn.ReLU)


@pytest.mark.parametrize(
    ("name", "keywords", "fragments"),
    [
        ("kaimin", {}, ["initializer", "'kaimin'", "orthogonal, lsuv", "did you mean 'kaiming'"]),
        ("normal", {"std": -1.0}, ["std", "at least 0", "-1.0", "0.01"]),
    ],
)
def test_wrong_settings_are_refused(
    name: str, keywords: dict[str, float], fragments: list[str]
) -> None:
    with pytest.raises(RecipeError) as error:
        initialize(nn.Linear(2, 2), name, **keywords)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_computed_weights_are_refused_before_anything_is_set() -> None:
    plain, computed = nn.Linear(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    before = plain.weight.clone()
    with pytest.raises(NetworkError, match=r"layer '1' computes its weight"):
        initialize(nn.Sequential(plain, computed), "zeros")
    assert torch.equal(plain.weight, before)


def test_empty_layers_do_not_warn() -> None:
    with pytest.warns(UserWarning, match="zero-element"):
        layer = nn.Linear(0, 3)
    initialize(layer, "kaiming")
    assert layer.weight.shape == (3, 0)
