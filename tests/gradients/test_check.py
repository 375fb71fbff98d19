"""Gradient checks: the guilty are found and located, the innocent acquitted, nothing touched."""

from __future__ import annotations

import copy
import linecache
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.faults.gradients import INNOCENT, WRONG, Case
from torch import Tensor, nn

import chainrule
from chainrule.errors import ChainruleError, GradientError
from chainrule.gradients.check import check_gradients
from chainrule.gradients.result import GradientCheck

UNDECIDABLE = {"huge terms cancel", "softmax loss, saturated"}  # beyond double precision


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def names(cases: tuple[Case, ...]) -> dict[str, Case]:
    return {case.name: case for case in cases}


@pytest.mark.parametrize("name", names(WRONG))
def test_a_planted_fault_is_found_and_located(name: str) -> None:
    case = names(WRONG)[name]
    found = check_gradients(case.target(), case.inputs())
    assert found.verdict == "wrong"
    assert found.culprit is not None
    assert found.culprit.operation.removesuffix(" under no_grad") == case.culprit
    assert "# culprit" in linecache.getline(str(found.culprit.file), int(found.culprit.line or 0))


@pytest.mark.parametrize("name", names(INNOCENT))
def test_the_innocent_are_acquitted(name: str) -> None:
    case = names(INNOCENT)[name]
    found = check_gradients(case.target(), case.inputs())
    allowed = ("cannot-tell",) if name in UNDECIDABLE else ("correct", "kink")
    assert found.verdict in allowed
    assert found.culprit is None


# -- kinks ---------------------------------------------------------------------------------


class WrongBesideZero(torch.autograd.Function):
    """relu with slope 2, asked for exactly at its kink."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * g * (x > 0)


def test_a_wrong_gradient_beside_a_kink_is_still_found() -> None:
    point = torch.tensor([0.0], dtype=torch.float64)
    assert check_gradients(torch.relu, point).verdict == "kink"
    assert check_gradients(WrongBesideZero, point).verdict == "wrong"


def test_kinks_of_a_numpy_function_are_told_by_its_slopes() -> None:
    def forward(x: Any) -> Any:
        return np.maximum(x, 0), x

    def backward(dout: Any, x: Any) -> Any:
        return dout * (x > 0)

    assert check_gradients((forward, backward), np.array([0.0, 1.0])).verdict == "kink"
    assert check_gradients((forward, backward), np.array([2.0, 1.0])).verdict == "correct"


def test_the_course_s_max_pool_test_passes_wrong_code_and_ours_does_not() -> None:
    """On values that grow the last element of each window always wins."""

    class AlwaysLast(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.shape = x.shape
            return x.unflatten(-1, (-1, 2)).amax(-1)

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            made = torch.zeros(ctx.shape, dtype=g.dtype)
            made[..., 1::2] = g
            return made

    growing = torch.linspace(-0.3, 0.4, 16, dtype=torch.float64).view(2, 8)
    leaf = growing.clone().requires_grad_()
    assert torch.autograd.gradcheck(AlwaysLast.apply, (leaf,))
    found = check_gradients(AlwaysLast, growing)
    assert found.verdict == "wrong"
    assert "another order" in found.tensors[0].note


def test_relative_error_1_of_the_course_s_checker_is_no_fault() -> None:
    """Eight ReLU layers with small weights: the difference itself knows nothing there."""
    torch.manual_seed(0)
    layers = [item for _ in range(8) for item in (nn.Linear(10, 10), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(10, 3)).double()
    for parameter in net.parameters():
        parameter.data.mul_(0.03)
    assert check_gradients(net, (10,), loss="softmax", exhaustive=True).verdict == "correct"


# -- what can be checked -------------------------------------------------------------------


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return g * (s + x * s * (1 - s))


def affine(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b, (x, w)


def affine_backward(dout: Any, cache: Any) -> Any:
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(0)


def svm_of_the_course(x: Any, y: Any) -> Any:
    """(loss, dx), as in the assignments."""
    rows = np.arange(len(x))
    margins = np.maximum(0, x - x[rows, y][:, None] + 1.0)
    margins[rows, y] = 0
    dx = (margins > 0).astype(float)
    dx[rows, y] -= dx.sum(1)
    return margins.sum() / len(x), dx / len(x)


def rows(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


TARGETS: dict[str, Callable[[], GradientCheck]] = {
    "zoo": lambda: check_gradients("lenet5", seconds=2),
    "notation": lambda: check_gradients("INPUT 8x8x1, CONV3-4, BN, RELU, POOL2, FC-3"),
    "module": lambda: check_gradients(nn.LSTM(4, 3, batch_first=True), (5, 4)),
    "dropout": lambda: check_gradients("INPUT 6, FC-8, RELU, DROPOUT(0.5), FC-3", loss="svm"),
    "Function": lambda: check_gradients(Swish, torch.randn(3, 2)),
    "loss by name": lambda: check_gradients("svm"),
    "loss of torch.nn": lambda: check_gradients(nn.CrossEntropyLoss(), (4, 5)),
    "function": lambda: check_gradients(torch.bmm, [(2, 3, 4), (2, 4, 5)]),
    "NumPy pair": lambda: check_gradients(
        (affine, affine_backward), (rows(4, 3), rows(3, 2), rows(2))
    ),
    "NumPy loss": lambda: check_gradients(svm_of_the_course, (rows(4, 5), np.array([0, 1, 2, 4]))),
    "complex": lambda: check_gradients(
        lambda z: (z * z.conj() * (1 + 2j)).sum(), torch.randn(4, dtype=torch.complex128)
    ),
    "tokens": lambda: check_gradients(
        nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 2)), "3:int64"
    ),
    "scripted": lambda: check_gradients(torch.jit.script(nn.Linear(3, 2)), (3,)),
    "second order": lambda: check_gradients(torch.tanh, torch.randn(4), second_order=True),
    "forward": lambda: check_gradients(torch.sin, torch.randn(4), method="forward"),
    "richardson": lambda: check_gradients(torch.exp, torch.randn(4), method="richardson"),
    "in place": lambda: check_gradients(lambda x: x.mul_(2).sin_(), torch.randn(4)),
    "attention": lambda: check_gradients(nn.TransformerEncoderLayer(4, 2, 8), (3, 4), seconds=5),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_everything_that_can_be_checked(name: str) -> None:
    found = TARGETS[name]()
    assert found.verdict in ("correct", "kink")
    assert found.tensors
    if found.forward_mode is not None:
        assert found.forward_mode < 1e-9


def test_single_precision_only_is_said() -> None:
    weight = torch.randn(3, 3)
    found = check_gradients(lambda x: x @ weight, torch.randn(2, 3))
    assert found.verdict == "correct"
    assert found.dtype == "float32"
    assert "single precision only" in found.notes[0]


def test_a_function_that_is_not_deterministic_is_reported() -> None:
    generator = torch.Generator()

    def noisy(x: Tensor) -> Tensor:
        generator.seed()
        return x * torch.rand(3, generator=generator, dtype=torch.float64)

    found = check_gradients(noisy, torch.randn(3))
    assert any("not deterministic" in note for note in found.notes)
    assert found.verdict == "cannot-tell"


def test_dropout_is_no_non_determinism() -> None:
    found = check_gradients(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)), (4,))
    assert (found.verdict, found.notes) == ("correct", ())


def test_a_parameter_whose_path_is_cut_is_told_from_one_that_does_not_matter() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)
            self.last = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x).detach())  # type: ignore[no-any-return]

    found = check_gradients(Cut(), (3,))
    assert "no gradient arrives, though it matters" in found["first.weight"].note
    assert "none is due" in found["idle.weight"].note
    assert (found["idle.weight"].verdict, found["last.weight"].verdict) == ("correct", "correct")
    assert found.culprit is not None
    assert found.culprit.operation == "detach"


def test_the_penalty_is_checked_apart_and_drowning_is_told() -> None:
    text = "INPUT 6, FC-4, RELU, FC-3"
    strong = check_gradients(text, loss="softmax", weight_decay=5.0)
    weak = check_gradients(text, loss="softmax", weight_decay=1e-4)
    assert strong.regularization is not None
    assert strong.regularization.verdict == "correct"
    assert "penalty-drowns-data" in {item.code for item in strong.findings}
    assert "penalty-drowns-data" not in {item.code for item in weak.findings}


def test_the_loss_at_the_start_is_compared_with_what_it_should_be() -> None:
    small = chainrule.network("INPUT 6, FC-10")
    found = check_gradients(small, loss="softmax")
    assert found.expected_loss == pytest.approx(np.log(10))
    for parameter in small.parameters():
        parameter.data.mul_(100)
    loud = check_gradients(small, loss="softmax")
    assert "initial-loss-unexpected" in {item.code for item in loud.findings}
    assert "initial-loss-unexpected" not in {item.code for item in found.findings}


def test_one_wrong_weight_of_a_large_tensor_is_found_when_all_are_compared() -> None:
    class OneWrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Any:
            x, w = ctx.saved_tensors
            made = x.T @ g
            made[17, 23] *= 1.01
            return g @ w.T, made

    found = check_gradients(OneWrong, [(3, 40), (40, 30)])
    wrong = [row for row in found.tensors if row.verdict == "wrong"]
    assert [row.where for row in wrong] == [(17, 23)]


def test_prefixes_that_are_not_computed_again_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dear network, made so by lowering the bar, against the same check in full."""
    text = (
        "INPUT 8x8x1, CONV3-4, RELU, POOL2, RES[CONV3-4, BN, RELU], DROPOUT(0.5), FC-8, RELU, FC-3"
    )
    full = check_gradients(text, exhaustive=False)
    monkeypatch.setattr("chainrule.gradients.check.DEAR", 0.0)
    short = check_gradients(text, exhaustive=False)
    for one, other in zip(full.tensors, short.tensors, strict=True):
        assert one.verdict == other.verdict == "correct"
    assert short.verdict == "correct"


# -- looking must not touch ----------------------------------------------------------------


def test_looking_does_not_touch() -> None:
    net = chainrule.network("INPUT 8x8x1, CONV3-4, BN, RELU, DROPOUT(0.5), FC-3")
    seen: list[Any] = []
    net.register_forward_hook(lambda *_: seen.append(1))
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(net.state_dict())
    modes = [layer.training for layer in net.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    apply = torch.autograd.Function.__dict__["apply"]
    hooks = [len(layer._forward_hooks) for layer in net.modules()]
    given = torch.randn(2, 1, 8, 8)
    torch.set_rng_state(states[0])
    kept = given.clone()
    check_gradients(net, given, loss="softmax", second_order=True, weight_decay=0.1)
    check_gradients(WrongBesideZero, given)
    assert all(
        torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True)
    )
    assert all(bool((p.grad == 1).all()) for p in net.parameters() if p.grad is not None)
    assert modes == [layer.training for layer in net.modules()]
    assert hooks == [len(layer._forward_hooks) for layer in net.modules()]
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert torch.autograd.Function.__dict__["apply"] is apply
    assert torch.equal(given, kept)
    assert not seen


# -- bad input -----------------------------------------------------------------------------


def fails(x: Tensor) -> Tensor:
    y = x.exp()
    y.mul_(2)
    return y


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "whole numbers": (
        lambda: check_gradients(torch.sin, torch.tensor([1, 2])), "all whole numbers",
    ),
    "frozen": (
        lambda: check_gradients(nn.Embedding(3, 2).requires_grad_(False), "2:int64"),
        "nothing to check; unfreeze",
    ),
    "no float comes out": (
        lambda: check_gradients(torch.argmax, torch.randn(3)), "wants at least one",
    ),
    "loss is no number": (
        lambda: check_gradients("INPUT 4, FC-3", loss=lambda scores, targets=None: scores),
        "wants one number: take its mean",
    ),
    "nan": (lambda: check_gradients(torch.log, torch.tensor([-1.0])), "not finite at this point"),
    "shape of a backward": (
        lambda: check_gradients(
            (affine, lambda d, c: (d, d, d)), (rows(4, 3), rows(3, 2), rows(2))
        ),
        r"gives shape \(4, 2\) for 'x', whose shape is \(4, 3\)",
    ),
    "too few gradients": (
        lambda: check_gradients((affine, lambda d, c: d), (rows(4, 3), rows(3, 2), rows(2))),
        "gives 1 gradients, wants 3",
    ),
    "too large": (
        lambda: check_gradients("vgg11", exhaustive=True), "too many to compare one by one",
    ),
    "no inputs": (lambda: check_gradients(torch.sin), "inputs of sin are missing"),
    "dtype": (lambda: check_gradients(torch.sin, (2,), dtype="float16"), "dtype got 'float16'"),
    "method": (lambda: check_gradients(torch.sin, (2,), method="centre"), "method got 'centre'"),
    "loss": (lambda: check_gradients("INPUT 4, FC-3", loss="sofmax"), "did you mean 'softmax'"),
    "in place": (lambda: check_gradients(fails, torch.randn(3)), "overwrites a tensor"),
    "target": (lambda: check_gradients(3, torch.randn(3)), "target got a int"),
    "samples": (lambda: check_gradients(torch.sin, (2,), samples=-1), "samples got -1"),
    "nothing": (lambda: check_gradients(torch.sin, (2,), samples=0, directions=0), "both 0"),
    "seconds": (lambda: check_gradients(torch.sin, (2,), seconds=0), "seconds got 0"),
    "once differentiable": (
        lambda: check_gradients(
            lambda x: x.sum() * 3, torch.randn(3), second_order=True
        ),
        "second order",
    ),
    "weight decay without network": (
        lambda: check_gradients(torch.sin, (2,), weight_decay=1.0),
        "weight decay needs a network",
    ),
    "channels": (
        lambda: check_gradients(nn.Conv2d(3, 4, 3), (1, 8, 8)), "expects 3 input channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(name: str) -> None:
    act, words = BAD[name]
    with pytest.raises(ChainruleError, match=words) as caught:
        act()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, GradientError | ChainruleError)


# -- as an assertion -----------------------------------------------------------------------


def test_the_assertion_and_the_fixture(assert_gradients_correct: Any) -> None:
    assert assert_gradients_correct(Swish, torch.randn(3)).verdict == "correct"
    with pytest.raises(AssertionError, match="WrongBesideZero") as caught:
        assert_gradients_correct(WrongBesideZero, torch.tensor([0.5, -0.3, 1.2]))
    assert "2 times what it should be" in str(caught.value)
    assert "test_check.py" in str(caught.value)
