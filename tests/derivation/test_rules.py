"""Rules: every kink is one, its subgradient is what PyTorch takes, and its pieces tell it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.derivation.rules import RULES, rule_of
from chainrule.gradients.kinks import Watch, crossed

Function = Callable[[Tensor], Tensor]

# operation: (function of one number, its kink, derivative that PyTorch gives there)
KINKS: dict[str, tuple[Function, float, float]] = {
    "relu": (torch.relu, 0.0, 0.0),
    "relu_": (lambda x: x.clone().relu_(), 0.0, 0.0),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), 0.0, 0.1),
    "elu": (lambda x: F.elu(x, 0.5), 0.0, 0.5),
    "abs": (torch.abs, 0.0, 0.0),
    "threshold": (lambda x: F.threshold(x, 0.5, 0.5), 0.5, 0.0),
    "clamp": (lambda x: x.clamp(-1.0, 2.0), 2.0, 1.0),
    "clamp_min": (lambda x: x.clamp_min(0.25), 0.25, 1.0),
    "hardtanh": (F.hardtanh, 1.0, 0.0),
    "hardswish, lower": (F.hardswish, -3.0, 0.0),
    "hardsigmoid": (F.hardsigmoid, 3.0, 0.0),
    "hardswish": (F.hardswish, 3.0, 1.0),
    "softshrink": (lambda x: F.softshrink(x, 0.5), 0.5, 0.0),
    "maximum": (lambda x: torch.maximum(x, 1 - x), 0.5, 0.0),
    "fmin": (lambda x: torch.fmin(2 * x, x + 1), 1.0, 2.0),
    "amax": (lambda x: torch.stack([x, 2 * x]).amax(0), 0.0, 1.5),
    "max_pool2d": (lambda x: F.max_pool2d(torch.stack([x, 2 * x]).view(1, 1, 1, 2), (1, 2)),
                   0.0, 1.0),
    "max_pool1d": (lambda x: F.max_pool1d(torch.stack([x, 2 * x]).view(1, 1, 2), 2), 0.0, 1.0),
    "prelu": (lambda x: F.prelu(x.view(1), torch.full((1,), 0.25, dtype=x.dtype)), 0.0, 0.25),
    "vector norm": (lambda x: torch.linalg.vector_norm(torch.stack([x, 0 * x])), 0.0, 0.0),
    "norm of order 1": (lambda x: torch.linalg.vector_norm(x.view(1), 1), 0.0, 0.0),
    "largest magnitude": (
        lambda x: torch.linalg.vector_norm(torch.stack([x, 1 + 0 * x]), float("inf")), 1.0, 0.5,
    ),
    "remainder": (lambda x: torch.remainder(x, 2.0), 2.0, 1.0),
    "where": (lambda x: torch.where(x > 0, 2 * x, x), 0.0, 1.0),
    "sort": (lambda x: torch.stack([x, 1 - x]).sort().values[0], 0.5, 1.0),
    "multi_margin_loss": (
        lambda x: F.multi_margin_loss(torch.stack([x, 0 * x]).view(1, 2), torch.tensor([1])),
        -1.0, 0.0,
    ),
}  # fmt: skip


def pieces(function: Function, at: float) -> list[tuple[str, Tensor]]:
    with Watch() as watch:
        function(torch.tensor(at, dtype=torch.float64))
    return watch.pieces


@pytest.mark.parametrize("name", KINKS)
def test_pieces_change_across_the_kink_and_only_there(name: str) -> None:
    function, kink, _ = KINKS[name]
    assert crossed(pieces(function, kink - 1e-6), pieces(function, kink + 1e-6))
    for side in (-1, 1):
        near, far = kink + side * 1e-6, kink + side * 0.1
        assert crossed(pieces(function, near), pieces(function, far)) == ""


@pytest.mark.parametrize("name", KINKS)
def test_the_subgradient_is_pytorch_s(name: str) -> None:
    function, kink, expected = KINKS[name]
    point = torch.tensor(kink, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(function(point).sum(), point)
    assert float(found) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", KINKS)
def test_it_is_a_kink(name: str) -> None:
    """The slopes from the left and from the right differ."""
    function, kink, _ = KINKS[name]
    at = [function(torch.tensor(kink + h, dtype=torch.float64)).sum() for h in (-1e-6, 0.0, 1e-6)]
    assert abs(float((at[2] - at[1]) - (at[1] - at[0]))) / 1e-6 > 0.05


@pytest.mark.parametrize("name", ["smooth_l1_loss", "huber_loss"])
def test_smooth_losses_change_their_piece_where_the_curvature_jumps(name: str) -> None:
    def function(x: Tensor) -> Tensor:
        value: Tensor = getattr(F, name)(x, torch.zeros((), dtype=x.dtype))
        return value

    assert crossed(pieces(function, 0.999), pieces(function, 1.001)) == name


def test_smooth_operations_have_one_piece() -> None:
    for function in (torch.exp, torch.tanh, F.gelu, F.silu, F.softplus, torch.sigmoid):
        assert crossed(pieces(function, -1.0), pieces(function, 1.0)) == ""


def test_every_operator_of_the_table_exists_in_pytorch_and_has_one_rule() -> None:
    operators = [name for rule in RULES for name in rule.operators]
    assert len(set(operators)) == len(operators)
    for name in operators:
        assert hasattr(torch.ops.aten, name), name
        rule = rule_of(name)
        assert rule is not None
        assert name in rule.operators


def test_rules_of_the_formulas_hold() -> None:
    """The local gradients in words, computed: kept beside the table so that neither drifts."""
    x = torch.linspace(-3.5, 3.5, 29, dtype=torch.float64).requires_grad_()
    formulas: dict[str, tuple[Function, Function]] = {
        "relu": (torch.relu, lambda x: (x > 0).double()),
        "leaky_relu": (lambda x: F.leaky_relu(x, 0.125), lambda x: torch.where(x > 0, 1.0, 0.125)),
        "elu": (F.elu, lambda x: torch.where(x > 0, 1.0, F.elu(x) + 1.0)),
        "abs": (torch.abs, torch.sign),
        "hardswish": (
            F.hardswish,
            lambda x: torch.where(x.abs() < 3, x / 3 + 0.5, (x >= 3).double()),
        ),
        "hardsigmoid": (F.hardsigmoid, lambda x: (x.abs() < 3) / 6),
        "clamp": (lambda x: x.clamp(-1, 1), lambda x: (x.abs() <= 1).double()),
        "hardtanh": (F.hardtanh, lambda x: (x.abs() < 1).double()),
    }
    for name, (function, formula) in formulas.items():
        (found,) = torch.autograd.grad(function(x).sum(), x)
        torch.testing.assert_close(found, formula(x.detach()).double(), rtol=0, atol=1e-8, msg=name)
