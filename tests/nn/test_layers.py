"""What is particular to each layer: its formula, its expectation, its words on bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.fx
import torch.nn.functional as F
from tests.reference import nn_layers as twin
from torch import nn

from chainrule.errors import NetworkError, ShapeError
from chainrule.nn.dropconnect import DropConnectConv2d, DropConnectLinear
from chainrule.nn.global_average_pool import GlobalAveragePool
from chainrule.nn.maxout import Maxout
from chainrule.nn.residual import Residual
from chainrule.nn.stochastic_depth import StochasticDepth

DRAWS = 2000


def test_maxout_equals_its_slow_twin() -> None:
    layer, x = Maxout(5, units=4, pieces=3).double(), torch.randn(7, 5, dtype=torch.float64)
    weight, bias = (p.detach().numpy() for p in (layer.linear.weight, layer.linear.bias))
    expected = twin.maxout(x.numpy(), weight, bias, 4, 3)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)


def test_maxout_takes_leading_axes_and_one_piece_is_linear() -> None:
    layer, x = Maxout(5, units=4, pieces=1), torch.randn(2, 3, 5)
    assert torch.equal(layer(x), layer.linear(x))
    assert Maxout(5, units=4, pieces=2, bias=False).linear.bias is None
    assert "units=4, pieces=1" in repr(layer)


def test_maxout_shares_the_gradient_between_tied_pieces() -> None:
    layer = Maxout(1, units=1, pieces=2)
    nn.init.ones_(layer.linear.weight)
    nn.init.zeros_(layer.linear.bias)
    layer(torch.ones(1, 1)).sum().backward()
    assert layer.linear.bias.grad.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("argument", ["in_features", "units", "pieces"])
@pytest.mark.parametrize("size", [0, -2, 1.5])
def test_maxout_refuses_sizes(argument: str, size: float) -> None:
    sizes = {"in_features": 3, "units": 3, "pieces": 3, argument: size}
    with pytest.raises(NetworkError) as error:
        Maxout(**sizes)
    for fragment in ("Maxout", argument, repr(size), "at least 1", "Maxout(64, units=32"):
        assert fragment in str(error.value)


def test_global_average_pool_is_the_mean_of_each_channel() -> None:
    volume = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    pooled = GlobalAveragePool()(volume)
    for n, c in np.ndindex(2, 3):
        assert pooled[n, c].item() == pytest.approx(sum(volume[n, c].flatten().tolist()) / 20)


MAKERS = {
    "DropConnectLinear": lambda p: DropConnectLinear(3, 3, p=p),
    "DropConnectConv2d": lambda p: DropConnectConv2d(3, 3, 3, p=p),
    "StochasticDepth": lambda p: StochasticDepth(p),
    "Residual": lambda p: Residual(nn.Identity(), p=p),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("p", [1, 1.0, -0.1, 2.0, math.nan, "half", None])
def test_probability_is_refused_by_all_layers(name: str, p: float) -> None:
    with pytest.raises(NetworkError) as error:
        MAKERS[name](p)
    assert "\n" not in str(error.value)
    for fragment in (f"{name}: p is the probability", "[0, 1)", repr(p), "use 0 to drop nothing"):
        assert fragment in str(error.value)


@pytest.mark.parametrize("name", MAKERS)
def test_probability_zero_drops_nothing_and_is_shown(name: str) -> None:
    layer = MAKERS[name](0)
    x = torch.randn(2, 3, 5, 3) if name != "DropConnectConv2d" else torch.randn(2, 3, 5, 5)
    assert torch.equal(layer.train()(x), layer.eval()(x))
    if name != "Residual":
        assert "p=0.0" in repr(layer)
        assert "p=0.5" in repr(MAKERS[name](0.5))


def assert_mean_within(draws: torch.Tensor, expected: torch.Tensor, sd: torch.Tensor) -> None:
    """Each mean over draws lies within five standard errors, and the spread is as computed."""
    error = sd / math.sqrt(len(draws))
    assert ((draws.mean(0) - expected).abs() <= 5 * error + 1e-12).all()
    # The spread of the squares of few-valued draws is known only roughly: within 15 %.
    torch.testing.assert_close(draws.std(0), sd, rtol=0.15, atol=1e-12)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_expectation_of_stochastic_depth_is_the_eval_output(p: float) -> None:
    torch.manual_seed(0)
    layer, x = StochasticDepth(p), torch.randn(4, 3, dtype=torch.float64)
    draws = torch.stack([layer.train()(x) for _ in range(DRAWS)])
    assert_mean_within(draws, layer.eval()(x), x.abs() * math.sqrt(p / (1 - p)))


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_expectation_of_dropconnect_is_the_eval_output(p: float) -> None:
    """Var y = sum over i of (w_i x_i)^2 p / (1-p), the weights being dropped independently."""
    torch.manual_seed(0)
    linear, convolution = DropConnectLinear(6, 4, p=p), DropConnectConv2d(2, 3, 3, p=p)
    x, image = torch.randn(2, 6, dtype=torch.float64), torch.randn(1, 2, 4, 4, dtype=torch.float64)
    for layer, value, plain in ((linear, x, F.linear), (convolution, image, F.conv2d)):
        layer.double()
        with torch.no_grad():
            draws = torch.stack([layer.train()(value) for _ in range(DRAWS)])
            variance = plain(value.square(), layer.weight.square()) * p / (1 - p)
            assert_mean_within(draws, layer.eval()(value), variance.sqrt())


def test_stochastic_depth_drops_whole_examples() -> None:
    torch.manual_seed(0)
    y = StochasticDepth(0.25)(torch.ones(400, 2, 3, 3))
    values = y.flatten(1)
    assert (values == values[:, :1]).all()
    assert set(values[:, 0].tolist()) == {0.0, torch.tensor(4 / 3).item()}
    dropped = (values[:, 0] == 0).double().mean().item()
    assert dropped == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 400))


def test_dropconnect_draws_one_mask_per_minibatch_and_keeps_the_bias() -> None:
    torch.manual_seed(0)
    layer = DropConnectLinear(8, 4, p=0.5)
    rows = layer(torch.ones(3, 8))
    assert (rows == rows[0]).all(), "equal examples meet the same mask"
    assert not torch.equal(layer(torch.ones(3, 8)), rows), "the next pass draws a new one"
    assert torch.equal(layer(torch.zeros(3, 8)), layer.bias.expand(3, 4))
    masked = layer(torch.eye(8)) - layer.bias
    kept = masked != 0
    torch.testing.assert_close(masked[kept], (2 * layer.weight.T)[kept])


def test_dropconnect_convolution_takes_all_options_of_conv2d() -> None:
    options = {"stride": 2, "padding": 2, "dilation": 2, "groups": 2, "padding_mode": "reflect"}
    layer, plain = DropConnectConv2d(4, 6, 3, **options), nn.Conv2d(4, 6, 3, **options)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 9, 9)
    assert torch.equal(layer.eval()(x), plain(x))
    assert DropConnectConv2d(4, 6, 3, bias=False).bias is None


def test_residual_adds_and_names_its_parts() -> None:
    branch, shortcut, x = nn.Linear(3, 2), nn.Linear(3, 2), torch.randn(5, 3)
    block = Residual(branch, shortcut)
    assert torch.equal(block(x), shortcut(x) + branch(x))
    assert [name for name, _ in block.named_children()] == ["branch", "shortcut"]
    assert isinstance(Residual(branch).shortcut, nn.Identity)
    dropping = Residual(branch, p=0.1)
    assert [name for name, _ in dropping.named_children()] == ["branch", "shortcut", "drop_path"]
    assert dropping.drop_path.p == 0.1


def test_residual_drops_the_branch_and_never_the_shortcut() -> None:
    torch.manual_seed(0)
    block = Residual(nn.Identity(), p=0.5)
    assert set(block(torch.ones(50, 1)).flatten().tolist()) == {1.0, 3.0}


def test_residual_refuses_to_broadcast() -> None:
    with pytest.raises(ShapeError) as error:
        Residual(nn.Linear(4, 1))(torch.ones(2, 4))
    for fragment in ("Residual", "branch gives (2, 1)", "shortcut (2, 4)", "1x1 convolution"):
        assert fragment in str(error.value)


@pytest.mark.parametrize("training", [True, False])
def test_layers_can_be_traced_symbolically(training: bool) -> None:
    net = nn.Sequential(
        DropConnectConv2d(2, 2, 3, padding=1, p=0.3),
        Residual(nn.Conv2d(2, 2, 1), p=0.3),
        nn.Flatten(),
        DropConnectLinear(32, 6, p=0.3),
        Maxout(6, 3, 2),
    ).train(training)
    traced, x = torch.fx.symbolic_trace(net), torch.randn(5, 2, 4, 4)
    torch.manual_seed(1)
    expected = net(x)
    torch.manual_seed(1)
    assert torch.equal(traced(x), expected)
