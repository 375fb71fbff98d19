"""Curvature against dense Hessians, NumPy noise scales, and descent that is really run."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.reference.noise_scale import per_example_gradients, simple_noise_scale
from torch import Tensor, nn
from torch.func import functional_call

import chainrule
from chainrule.errors import ChainruleError
from chainrule.gradients.curvature import curvature
from chainrule.gradients.lanczos import lanczos
from chainrule.gradients.noise_scale import noise_scale


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def labels(count: int, classes: int = 3) -> Tensor:
    return torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(1))


def dense(module: nn.Module, inputs: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """(n, n) Hessian by ``torch.autograd.functional``, on a copy in double precision."""
    twin = copy.deepcopy(module).double()
    named = {name: item for name, item in twin.named_parameters() if item.requires_grad}
    state = {name: item.detach() for name, item in twin.state_dict().items()}
    shapes = [item.shape for item in named.values()]

    def value(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes])
        live = {n: p.view(s) for n, p, s in zip(named, parts, shapes, strict=True)}
        fixed = {k: v.clone() for k, v in state.items() if k in dict(twin.named_buffers())}
        return loss(functional_call(twin, {**fixed, **live}, (inputs,)))

    point = torch.cat([item.detach().reshape(-1) for item in named.values()])
    return torch.autograd.functional.hessian(value, point)


# -- eigenvalues ---------------------------------------------------------------------------


class Tied(nn.Module):
    """One matrix, used twice; transposed the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 3, bias=False)
        self.again = nn.Linear(3, 3)
        self.outer = nn.Linear(3, 3, bias=False)
        self.outer.weight = self.again.weight

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.outer(torch.tanh(self.again(torch.tanh(self.inner(x)))))
        return made


class Frozen(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(5, 4), nn.Softplus(), nn.Linear(4, 3))
        self[0].requires_grad_(False)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)), (5,)),
    "ReLU": (lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)), (5,)),
    "conv": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
        ),
        (1, 6, 6),
    ),
    "batchnorm": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)),
        (5,),
    ),
    "batchnorm, evaluation": (
        lambda: nn.Sequential(
            nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)
        ).eval(),
        (5,),
    ),
    "tied": (Tied, (5,)),
    "frozen": (Frozen, (5,)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_whole_spectrum_is_that_of_the_dense_hessian(name: str) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(3)
    net, inputs, targets = make(), drawn(12, *shape), labels(12)
    wanted = torch.linalg.eigvalsh(dense(net, inputs, lambda s: F.cross_entropy(s, targets)))
    found = curvature(net, inputs, targets, iterations=len(wanted), grid=0)
    assert found.parameters == len(wanted)
    scale = float(wanted.abs().max())
    assert abs(found.largest.value - float(wanted[-1])) < 1e-10 * scale
    assert abs(found.smallest.value - float(wanted[0])) < 1e-10 * scale
    if found.products == len(wanted):
        assert np.allclose(found.values, wanted, atol=1e-10 * scale, rtol=0)
    assert found.proof is not None
    assert found.proof < 1e-5


@pytest.mark.parametrize("name", ["MLP", "conv", "tied"])
def test_few_products_give_the_ends_within_their_bounds(name: str) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(3)
    net, inputs, targets = make(), drawn(12, *shape), labels(12)
    wanted = torch.linalg.eigvalsh(dense(net, inputs, lambda s: F.cross_entropy(s, targets)))
    found = curvature(net, inputs, targets, iterations=12, grid=0)
    for value, bound in zip(found.values, found.bounds, strict=True):
        assert float((wanted - value).abs().min()) <= bound
    assert found.largest.value <= float(wanted[-1]) + 1e-12
    assert found.smallest.value >= float(wanted[0]) - 1e-12
    assert sum(found.weights) == pytest.approx(1)


def least_squares(scales: list[float], examples: int = 40) -> tuple[nn.Module, Tensor, Tensor]:
    """A linear network whose mse has the Hessian with exactly these eigenvalues."""
    size = len(scales)
    columns, _ = torch.linalg.qr(drawn(examples, size, seed=5))
    turned, _ = torch.linalg.qr(drawn(size, size, seed=6))
    wanted = torch.tensor(scales, dtype=torch.float64)
    inputs = columns @ torch.diag((examples * wanted / 2).sqrt()) @ turned.T  # H = 2/N X'X
    torch.manual_seed(0)
    net = nn.Linear(size, 1, bias=False)
    away = turned.sum(1, keepdim=True)  # as far along each eigenvector
    return net, inputs, inputs @ (net.weight.detach().double().T + away)


def test_a_known_spectrum_gives_the_known_rates() -> None:
    scales = [0.5, 1.0, 2.0, 8.0]
    found = curvature(*least_squares(scales), loss="mse", grid=0)
    assert np.allclose(found.values, scales, atol=1e-12)
    assert (found.sign, found.condition) == ("positive definite", "λmax / λmin")
    assert found.condition_number == pytest.approx(16)
    assert found.largest_stable_rate == pytest.approx(0.25)
    assert found.best_rate == pytest.approx(2 / 8.5)


def test_a_singular_hessian_is_told() -> None:
    found = curvature(*least_squares([0.0, 0.0, 1.0, 4.0]), loss="mse", grid=0)
    assert found.sign == "singular"
    assert found.condition_number == pytest.approx(4)
    assert "with those it is infinite" in found.condition
    assert found.best_rate is None
    assert "along the others 0.4 is best" in found.best_rate_words


def test_negative_curvature_is_told_and_spoils_the_condition_number() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3))
    found = curvature(net, drawn(20, 5), labels(20), iterations=20, grid=0)
    assert found.sign == "indefinite"
    assert found.smallest.value < 0
    assert [item.code for item in found.findings] == ["negative-curvature"]
    assert (found.condition_number, found.best_rate) == (None, None)
    assert "inside the spectrum" in found.condition


def test_a_loss_without_curvature_is_flat() -> None:
    net = nn.Linear(4, 3)
    found = curvature(net, drawn(9, 4), labels(9), loss="svm", grid=0)
    assert (found.sign, found.largest_stable_rate) == ("flat", None)
    assert any("kinks carry no curvature" in note for note in found.notes)
    assert found.kinks == ("relu",)


def test_a_bound_that_reaches_zero_settles_nothing() -> None:
    scales = [1e-4 * 1.3**k for k in range(36)]
    found = curvature(*least_squares(scales), loss="mse", iterations=4, grid=0)
    assert (found.sign, found.best_rate, found.converged) == ("cannot-tell", None, False)
    assert any("have not converged" in note for note in found.notes)


def test_lanczos_finds_repeated_eigenvalues_and_closed_spaces() -> None:
    scales = torch.tensor([0.0] * 30 + [3.0, 3.0, -1.0, 0.5], dtype=torch.float64)
    found = lanczos(lambda v: scales * v, 34, iterations=20)
    assert found.complete
    assert sorted(set((found.values.numpy().round(9) + 0.0).tolist())) == [-1, 0, 0.5, 3]
    assert (found.values - 3).abs().topk(2, largest=False).values.max() < 1e-12


def test_the_plane_runs_along_the_eigenvectors() -> None:
    net, inputs, targets = least_squares([1.0, 2.0, 8.0])
    found = curvature(net, inputs, targets, loss="mse", grid=5)
    hessian = dense(net, inputs, lambda s: F.mse_loss(s, targets))
    assert found.plane is not None
    for direction, axis in zip(found.directions, found.plane.axes, strict=True):
        v = torch.from_numpy(direction)
        assert torch.allclose(hessian @ v, axis.value * v, atol=1e-10)
    weights = net.weight.detach().double().flatten()  # type: ignore[union-attr,operator]
    a, b = found.plane.steps[0][3], found.plane.steps[1][0]
    moved = weights + torch.from_numpy(a * found.directions[0] + b * found.directions[1])
    assert found.plane.losses[3][0] == pytest.approx(
        float(F.mse_loss(inputs @ moved[:, None], targets))
    )
    best = weights + torch.from_numpy(
        sum(s * d for s, d in zip(found.plane.minimum, found.directions, strict=True))
    )
    left = hessian @ best - 2 / len(inputs) * (inputs.T @ targets).flatten()  # gradient there
    assert torch.allclose(
        torch.from_numpy(found.directions) @ left, torch.zeros(2).double(), atol=1e-9
    )


# -- learning rates, by running them -------------------------------------------------------


def descended(net: nn.Module, inputs: Tensor, targets: Tensor, rate: float, steps: int) -> float:
    """Loss after plain gradient descent on all examples."""
    twin = copy.deepcopy(net).double()
    rule = torch.optim.SGD(twin.parameters(), lr=rate)
    for _ in range(steps):
        rule.zero_grad()
        F.mse_loss(twin(inputs), targets).backward()
        rule.step()
    return F.mse_loss(twin(inputs), targets).item()


def test_descent_converges_just_below_the_largest_stable_rate_and_diverges_above() -> None:
    problem = least_squares([0.5, 1.0, 2.0, 8.0])
    found = curvature(*problem, loss="mse", grid=0)
    limit = found.largest_stable_rate
    assert limit is not None
    assert descended(*problem, rate=0.99 * limit, steps=2000) < 1e-9 * found.loss
    assert descended(*problem, rate=1.01 * limit, steps=2000) > 1e9 * found.loss


def test_the_best_rate_is_faster_than_its_neighbours() -> None:
    problem = least_squares([0.5, 1.0, 2.0, 8.0])
    best = curvature(*problem, loss="mse", grid=0).best_rate
    assert best is not None

    def left(rate: float) -> float:
        """Share of the loss that a hundred late steps leave."""
        return descended(*problem, rate, 200) / descended(*problem, rate, 100)

    assert left(best) == pytest.approx(((16 - 1) / (16 + 1)) ** 200, rel=1e-3)
    for factor in (0.9, 0.99, 1.01, 1.05):
        assert left(best) < left(factor * best)


# -- the noise scale -----------------------------------------------------------------------


def test_the_noise_scale_is_that_of_per_example_gradients() -> None:
    torch.manual_seed(0)
    net, inputs = nn.Linear(4, 3), drawn(64, 4)
    targets = (inputs @ drawn(4, 3, seed=4)).argmax(1)
    found = curvature(net, inputs, targets, batch=4, grid=0, seed=2).noise
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    w, b = (item.detach().double().numpy() for item in net.parameters())
    rows = per_example_gradients(w, b, inputs[order].numpy(), targets[order].numpy())
    variance, squared = simple_noise_scale(rows, 4)
    assert found is not None
    assert (found.variance, found.gradient) == pytest.approx((variance, squared))
    assert found.value == pytest.approx(variance / squared)
    assert (found.batch, found.minibatches) == (4, 16)


def test_the_noise_scale_is_unbiased_and_its_interval_holds_the_truth() -> None:
    size, batch, count, trials = 20, 4, 16, 400
    mean = torch.full((size,), 0.3, dtype=torch.float64)
    truth = size / float(mean @ mean)  # the covariance is the identity
    rows = drawn(trials, count, batch, size, seed=9).mean(2) + mean
    found = [noise_scale(part, batch) for part in rows]
    known = [item for item in found if item is not None]
    assert np.mean([item.variance for item in known]) == pytest.approx(size, rel=0.02)
    assert np.mean([item.gradient for item in known]) == pytest.approx(size * 0.09, rel=0.03)
    held = [item.low <= truth and (item.high is None or truth <= item.high) for item in known]
    assert len(known) == trials
    assert 0.9 <= np.mean(held) <= 0.99


def test_a_gradient_lost_in_noise_has_no_upper_end() -> None:
    found = noise_scale(drawn(8, 30), 2)
    assert found is not None
    assert found.high is None
    assert noise_scale(torch.ones(4, 3, dtype=torch.float64), 2) is None
    few = curvature(nn.Linear(3, 2), drawn(4, 3), labels(4, 2), grid=0)
    assert few.noise is None
    assert any("wants 3 minibatches" in note for note in few.notes)


# -- how it looks --------------------------------------------------------------------------


def test_it_shows_itself_in_every_medium() -> None:
    text = "INPUT 6, FC-4, RELU, DROPOUT(0.5), FC-3"
    found = chainrule.curvature(text, drawn(30, 6), labels(30), grid=3)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["sign"] == found.sign
    assert "largest stable rate" in str(found)
    assert found._repr_html_().count("<svg") == 2
    assert any("drawn anew for each minibatch" in note for note in found.notes)


# -- looking must not touch ----------------------------------------------------------------


def test_looking_does_not_touch() -> None:
    net = chainrule.network("INPUT 8x8x1, CONV3-4, BN, RELU, DROPOUT(0.5), FC-3")
    seen: list[Any] = []
    net.register_forward_hook(lambda *_: seen.append(1))
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    net[1].eval()  # type: ignore[index]
    before = copy.deepcopy(net.state_dict())
    modes = [layer.training for layer in net.modules()]
    hooks = [len(layer._forward_hooks) for layer in net.modules()]
    given, wanted = drawn(48, 1, 8, 8), labels(48)
    kept = given.clone()
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = curvature(net, given, wanted, iterations=8, grid=3)
    assert found.noise is not None
    assert all(
        torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True)
    )
    assert all(bool((p.grad == 1).all()) for p in net.parameters() if p.grad is not None)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in net.parameters())
    assert modes == [layer.training for layer in net.modules()]
    assert hooks == [len(layer._forward_hooks) for layer in net.modules()]
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert torch.equal(given, kept)
    assert not seen


class Counting(nn.Module):
    """Weighs its scores by how often it ran, which it keeps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)
        self.register_buffer("runs", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.inner(x) * self.runs.clone()
        self.runs += 1
        return made


@pytest.mark.parametrize(
    "make", [Counting, lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3))]
)
def test_every_evaluation_is_of_the_same_function(make: Callable[[], nn.Module]) -> None:
    found = curvature(make(), drawn(40, 6), labels(40), grid=3)
    assert found.plane is not None
    assert found.plane.losses[1][1] == pytest.approx(found.loss, rel=1e-12)
    assert found.proof is not None
    assert found.proof < 1e-5


def test_the_same_question_has_the_same_answer() -> None:
    net = chainrule.network("INPUT 6, FC-4, DROPOUT(0.5), FC-3")
    one, other = (curvature(net, drawn(40, 6), labels(40), grid=0) for _ in "ab")
    assert (one.values, one.noise) == (other.values, other.noise)


# -- bad input -----------------------------------------------------------------------------


class NoSecond(torch.autograd.Function):
    """A square whose backward hides what it depends on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.slope = 2 * x.detach()
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * ctx.slope


class OnceOnly(NoSecond):
    """The same, and says so; autograd's search for the weights never comes to hear of it."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * ctx.slope


class Squared(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.inner, self.function = nn.Linear(4, 3), function

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.function.apply(self.inner(x))
        return made


class Distances(nn.Module):
    """Scores by a distance that PyTorch derives only once."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.eye(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x, self.centres, p=1.5)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))


def detached(scores: Tensor, targets: Tensor) -> Tensor:
    return scores.detach().sum()


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no examples": (
        lambda: curvature(mlp(), drawn(0, 4), labels(0)), "inputs hold no examples",
    ),
    "too few targets": (
        lambda: curvature(mlp(), drawn(9, 4), labels(8)), "inputs hold 9 examples: give one target",
    ),
    "no tensor": (lambda: curvature(mlp(), "digits", labels(8)), "inputs got str, wants a tensor"),
    "features": (lambda: curvature(mlp(), drawn(9, 5), labels(9)), "expects 4 input features"),
    "classes": (lambda: curvature(mlp(), drawn(9, 4), labels(9) + 5), "targets hold class"),
    "nan": (
        lambda: curvature(mlp(), drawn(9, 4) * torch.nan, labels(9)),
        "the loss is nan at these weights, wants a finite one",
    ),
    "frozen": (
        lambda: curvature(mlp().requires_grad_(False), drawn(9, 4), labels(9)),
        "no trainable parameter: unfreeze one",
    ),
    "detached": (
        lambda: curvature(mlp(), drawn(9, 4), labels(9), loss=detached), "no_grad lies between",
    ),
    "hidden second derivative": (
        lambda: curvature(Squared(NoSecond), drawn(9, 4), labels(9)),
        "uses NoSecond, whose backward has no second derivative",
    ),
    "once differentiable": (
        lambda: curvature(Squared(OnceOnly), drawn(9, 4), labels(9)),
        "uses OnceOnly, whose backward has no second derivative",
    ),
    "not implemented": (
        lambda: curvature(Distances(), drawn(9, 4), labels(9)),
        "target has no second derivative .* replace the operation",
    ),
    "loss": (lambda: curvature(mlp(), drawn(9, 4), labels(9), loss="sofmax"), "mean 'softmax'"),
    "loss of each": (
        lambda: curvature(
            mlp(), drawn(9, 4), labels(9), loss=nn.CrossEntropyLoss(reduction="none")
        ),
        r"loss gives shape \(9,\), wants one number",
    ),
    "dtype": (lambda: curvature(mlp(), drawn(9, 4), labels(9), dtype="half"), "dtype got 'half'"),
    "iterations": (
        lambda: curvature(mlp(), drawn(9, 4), labels(9), iterations=0), "iterations got 0",
    ),
    "grid": (lambda: curvature(mlp(), drawn(9, 4), labels(9), grid=2), "grid got 2"),
    "batch": (lambda: curvature(mlp(), drawn(9, 4), labels(9), batch=-1), "batch got -1"),
    "tolerance": (
        lambda: curvature(mlp(), drawn(9, 4), labels(9), tolerance=2), "tolerance got 2",
    ),
    "meta": (
        lambda: curvature(mlp().to("meta"), drawn(9, 4), labels(9)), "lies on the meta device",
    ),
    "complex": (
        lambda: curvature(nn.Linear(4, 3).to(torch.complex64), drawn(9, 4), labels(9)),
        "complex parameters",
    ),
    "too large": (
        lambda: curvature(
            nn.Linear(4000, 4000, bias=False), drawn(3, 4000), labels(3), iterations=10**6
        ),
        "lower it to 62",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(name: str) -> None:
    act, words = BAD[name]
    with pytest.raises(ChainruleError, match=words) as caught:
        act()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
