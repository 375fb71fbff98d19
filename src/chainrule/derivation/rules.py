"""Rules: the local gradient of each operation, and where it has none.

One table for ``check`` and ``derive``. A rule says how an operation is differentiated, where its
kinks are, which subgradient PyTorch takes there, and names for the piece of the function on which
every element lies: two points with equal pieces have no kink between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Values = Mapping[str, Any]
Piece = Callable[[Values, Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """How one operation is differentiated.

    Attributes:
        name: the operation, in the field's words.
        operators: names of the ATen operators that compute it, without namespace and overload.
        gradient: its local gradient, in words of its input x, its output y, and what it is given.
        kink: where the local gradient jumps; "" for smooth operations.
        at_kink: what PyTorch takes there.
        piece: a tensor of whole numbers that says on which piece each element lies, from the
            operator's arguments by name and its first output.
    """

    name: str
    operators: tuple[str, ...]
    gradient: str
    kink: str = ""
    at_kink: str = ""
    piece: Piece | None = None


def rule_of(operator: str) -> Rule | None:
    """The rule of an ATen operator, None for one without a rule.

    Examples:
        >>> rule_of("relu_").at_kink
        '0'
    """
    return _BY_OPERATOR.get(operator) or _BY_OPERATOR.get(operator.rstrip("_"))


def _side(*bounds: str | float) -> Piece:
    """On which side of each bound the input lies; names of arguments or numbers."""

    def piece(values: Values, _output: Tensor) -> Tensor:
        x = values["self"]
        places = [values.get(item) if isinstance(item, str) else item for item in bounds]
        parts = [torch.sign(x - bound) for bound in places if bound is not None]
        return torch.stack([torch.broadcast_to(part, x.shape) for part in parts or [x * 0]])

    return piece


def _apart(first: str = "self", second: str = "other", *bounds: str) -> Piece:
    """Which of two is larger, and on which side of a bound their distance lies."""

    def piece(values: Values, _output: Tensor) -> Tensor:
        gap = values[first] - values[second]
        limits = [values[name] for name in bounds if values.get(name) is not None]
        return torch.stack([torch.sign(gap), *(torch.sign(gap.abs() - item) for item in limits)])

    return piece


def _winner(values: Values, output: Tensor) -> Tensor:
    """Which elements are the extreme one."""
    x: Tensor = values["self"]
    axes = values.get("dim")
    if axes is not None and not values.get("keepdim", False):
        axes = [axes] if isinstance(axes, int) else list(axes) or range(x.dim())
        for axis in sorted(axis % max(x.dim(), 1) for axis in axes):
            output = output.unsqueeze(axis)
    return (x == output).to(torch.int8)


def _itself(_values: Values, output: Tensor) -> Tensor:
    """Piecewise constant: the value is the name of the piece."""
    return output


def _pool_winner(values: Values, _output: Tensor) -> Tensor:
    """Which element of each window won, where the operator keeps no indices."""
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    options = {name: values[name] for name in names if name in values}
    options["stride"] = options.get("stride") or options["kernel_size"]
    return torch.nn.functional.max_pool1d_with_indices(values["self"], **options)[1]


def _norm(values: Values, output: Tensor) -> Tensor:
    order = values.get("ord", values.get("p", 2))
    x: Tensor = values["self"]
    if order is not None and order == 1:
        return torch.sign(x) if not x.is_complex() else (x != 0).to(torch.int8)
    if order is not None and abs(float(order)) == float("inf"):
        return (x.abs() == x.abs().max()).to(torch.int8)
    axes = values.get("dim")
    size = torch.linalg.vector_norm(x, 2, dim=axes or None, keepdim=True)
    alone = x.abs() >= size * (1 - 1e-9)  # the norm of one number is its magnitude
    sides: Tensor = torch.sign(x.real if x.is_complex() else x) * alone + 2 * (size != 0)
    return sides


def _margins(values: Values, _output: Tensor) -> Tensor:
    """Which classes come too close to the right one (multi_margin_loss)."""
    scores, target = values["self"], values["target"]
    scores = scores.reshape(-1, scores.shape[-1])
    right = scores.gather(1, target.reshape(-1, 1))
    return torch.sign(scores - right + values.get("margin", 1))


def _nearness(values: Values, output: Tensor) -> Tensor:
    return (output != 0).to(torch.int8)


def _quotient(values: Values, _output: Tensor) -> Tensor:
    return torch.div(values["self"], values["other"], rounding_mode="floor")


_ZERO, _TIE = "x = 0", "two inputs are equal"
RULES: tuple[Rule, ...] = (
    Rule("relu", ("relu",), "1{x > 0}", _ZERO, "0", _side(0.0)),
    Rule("leaky_relu", ("leaky_relu",), "1 where x > 0, slope elsewhere", _ZERO, "the slope",
         _side(0.0)),
    Rule("prelu", ("_prelu_kernel", "prelu"), "1 where x > 0, weight elsewhere", _ZERO,
         "the weight", _side(0.0)),
    Rule("rrelu", ("rrelu_with_noise",), "1 where x > 0, a random slope elsewhere", _ZERO,
         "the slope", _side(0.0)),
    Rule("elu", ("elu", "celu", "selu"), "1 where x > 0, y + alpha elsewhere",
         "x = 0 unless alpha = 1", "alpha", _side(0.0)),
    Rule("abs", ("abs",), "sign(x)", _ZERO, "0", _side(0.0)),
    Rule("threshold", ("threshold",), "1{x > threshold}", "x = threshold", "0",
         _side("threshold")),
    Rule("clamp", ("clamp", "clamp_min", "clamp_max"), "1{min <= x <= max}", "x = min or max",
         "1", _side("min", "max")),
    Rule("hardtanh", ("hardtanh",), "1{min < x < max}", "x = min or max", "0",
         _side("min_val", "max_val")),
    Rule("hardsigmoid", ("hardsigmoid",), "1/6 where |x| < 3", "|x| = 3", "0",
         _side(-3.0, 3.0)),
    Rule("hardswish", ("hardswish",), "x/3 + 1/2 where |x| < 3, 1 above, 0 below", "|x| = 3",
         "the outer piece", _side(-3.0, 3.0)),
    Rule("softshrink", ("softshrink",), "1{|x| > lambda}", "|x| = lambda", "0",
         lambda values, out: torch.sign(out)),
    Rule("hardshrink", ("hardshrink",), "1{|x| > lambda}", "|x| = lambda", "0",
         lambda values, out: torch.sign(out)),
    Rule("maximum", ("maximum", "minimum", "fmax", "fmin"), "1 for the one that wins", _TIE,
         "1/2 each", _apart()),
    Rule("max", ("amax", "amin", "max", "min"), "1 for the one that wins", _TIE,
         "shared equally", _winner),
    Rule("max_pool", ("max_pool1d",), "1 for the winner of each window", _TIE,
         "the first of them", _pool_winner),
    Rule("rounding", ("floor", "ceil", "round", "trunc", "sign", "sgn", "heaviside"), "0",
         "where the value jumps", "0", _itself),
    Rule("remainder", ("remainder", "fmod"), "1 for the dividend", "where the quotient is whole",
         "1", _quotient),
    Rule("smooth_l1_loss", ("smooth_l1_loss",), "d/beta within beta, sign(d) beyond",
         "|d| = beta (the slope's own slope jumps)", "1", _apart("self", "target", "beta")),
    Rule("huber_loss", ("huber_loss",), "d within delta, delta sign(d) beyond",
         "|d| = delta (the slope's own slope jumps)", "delta", _apart("self", "target", "delta")),
    Rule("multi_margin_loss", ("multi_margin_loss",),
         "1{s_j - s_y + margin > 0} / C, and minus their sum at y", "a margin of exactly 0", "0",
         _margins),
    Rule("norm", ("linalg_vector_norm", "norm"), "x / y", "x = 0", "0", _norm),
    Rule("distance", ("_cdist_forward", "dist"), "(x - z) / y", "two points meet", "0",
         _nearness),
)  # fmt: skip
_BY_OPERATOR = {name: rule for rule in RULES for name in rule.operators}
