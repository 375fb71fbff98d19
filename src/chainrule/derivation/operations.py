"""Operations: one rule object each: its value, its local gradient times an upstream, its kinks.

A local gradient is written as a person would: in terms of the operation's own output where that
is shorter. Where the gradient jumps, and what is taken there, stands in ``rules.RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.derivation.expression import (
    Expr,
    Shape,
    add,
    broadcast,
    call,
    expanded,
    mul,
    number,
    option,
    power,
    size,
    sizes,
)

Pulled = Sequence[Expr | None]


@dataclass(frozen=True)
class Operation:
    """How one operation is computed and differentiated.

    Attributes:
        value: its value from those of its arguments, its node, and the sizes of named axes.
        pull: gradients of its arguments, given the node, a short formula for its output, and the
            upstream gradient; None for arguments that have none.
        reason: the local gradient in one line, for people.
        rule: name of the rule in ``rules.RULES`` that tells its kinks; "" for smooth ones.
    """

    value: Callable[[list[Tensor], Expr, dict[str, int]], Tensor]
    pull: Callable[[Expr, Expr, Expr], Pulled]
    reason: str = ""
    rule: str = ""


OPERATIONS: dict[str, Operation] = {}


def operation(kind: str, value: Any, pull: Any, reason: str = "", rule: str = "") -> None:
    """Put an operation into the table."""
    OPERATIONS[kind] = Operation(value, pull, reason, rule)


def evaluate(
    node: Expr,
    values: dict[str, Tensor],
    axes: dict[str, int],
    memo: dict[Expr, Tensor] | None = None,
) -> Tensor:
    """The value of a formula: the very tree that is printed.

    Args:
        node: the formula.
        values: of its symbols.
        axes: sizes of named axes.
        memo: values of nodes that are known already; is added to.
    """
    memo = {} if memo is None else memo
    if node not in memo:
        memo[node] = _value(node, values, axes, memo)
    return memo[node]


def _value(
    node: Expr, values: dict[str, Tensor], axes: dict[str, int], memo: dict[Expr, Tensor]
) -> Tensor:
    if node.kind == "symbol":
        return values[node.data]
    if node.kind == "number":
        made = torch.tensor(float(node.data), dtype=torch.float64)
        return made.expand(concrete(node.shape, axes))
    if node.kind == "dim":
        return torch.tensor(float(axes[node.data]), dtype=torch.float64)
    args = [evaluate(item, values, axes, memo) for item in node.args]
    return OPERATIONS[node.kind].value(args, node, axes)


def concrete(shape: Shape, axes: dict[str, int]) -> tuple[int, ...]:
    """A shape with its named axes filled in."""
    return tuple(axes[dim] if isinstance(dim, str) else dim for dim in shape)


# -- sums over axes --------------------------------------------------------------------------


def total(node: Expr, axes: Sequence[int], keep: bool = False) -> Expr:
    """The sum over axes; what does not vary along them is taken out."""
    axes = tuple(sorted(axis % len(node.shape) for axis in axes)) if node.shape else ()
    if not axes:
        return node
    kept = [(1 if keep else None) if k in axes else dim for k, dim in enumerate(node.shape)]
    shape = tuple(dim for dim in kept if dim is not None)
    if node.kind == "number":
        count = sizes(node.shape[axis] for axis in axes)
        return expanded(mul(number(node.data), count), shape)
    if node.kind == "expand" and not node.args[0].shape:
        return expanded(mul(node.args[0], sizes(node.shape[axis] for axis in axes)), shape)
    if node.kind == "mul":
        outside, inside = apart(node, axes)
        if outside:
            return mul(*outside, total(expanded(mul(*inside), node.shape), axes, keep))
    if node.kind == "sum":
        merged = _merged(node, axes, keep)
        if merged is not None:
            return merged
    if node.kind == "add" and all(item.kind in ("number", "expand") for item in node.args):
        return add(*(total(expanded(item, node.shape), axes, keep) for item in node.args))
    return call("sum", node, shape=shape, axes=axes, keep=keep)


def apart(node: Expr, axes: Sequence[int]) -> tuple[list[Expr], list[Expr]]:
    """Factors of a product that do not vary along these axes, and the others."""
    rank = len(node.shape)
    outside = [item for item in node.args if all(axis < rank - len(item.shape) for axis in axes)]
    return outside, [item for item in node.args if item not in outside]


def _merged(node: Expr, axes: tuple[int, ...], keep: bool) -> Expr | None:
    """The sum of a sum as one, where that can be written."""
    inner, before = node.args[0], option(node, "axes")
    if option(node, "keep"):
        return total(inner, axes) if not keep and set(before) <= set(axes) else None
    if keep:
        return None
    left = [k for k in range(len(inner.shape)) if k not in before]
    return total(inner, (*before, *(left[axis] for axis in axes)))


def summed_to(node: Expr, shape: Shape) -> Expr:
    """The sum over all axes along which an operand of this shape was repeated."""
    lead = len(node.shape) - len(shape)
    ones = [lead + k for k, dim in enumerate(shape) if dim == 1 and node.shape[lead + k] != 1]
    return total(total(node, ones, keep=True), range(lead))


def spread(node: Expr, axes: Sequence[int], shape: Shape) -> Expr:
    """The opposite of ``total``: repeated along axes that it lacks."""
    if node.shape == () or tuple(axes) == tuple(range(len(axes))):
        return expanded(node, shape)
    return expanded(inserted(node, axes, shape), shape)


def inserted(node: Expr, axes: Sequence[int], shape: Shape) -> Expr:
    """With axes of size 1 put in."""
    made = tuple(1 if k in axes else dim for k, dim in enumerate(shape))
    return call("insert", node, shape=made, axes=tuple(axes))


def _sum_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    shape = node.args[0].shape
    return [expanded(g, shape) if option(node, "keep") else spread(g, option(node, "axes"), shape)]


def _mean_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    shape, axes = node.args[0].shape, option(node, "axes")
    return [spread(g, axes, shape) / sizes(shape[axis] for axis in axes)]


operation("sum", lambda a, n, _: a[0].sum(option(n, "axes"), keepdim=option(n, "keep")), _sum_pull,
          "a sum hands its upstream to every term")  # fmt: skip
operation("mean", lambda a, n, _: a[0].mean(option(n, "axes")), _mean_pull,
          "a mean hands each term its share")  # fmt: skip
operation("expand", lambda a, n, axes: a[0].expand(concrete(n.shape, axes)),
          lambda n, o, g: [summed_to(g, n.args[0].shape)])  # fmt: skip


def _insert_value(args: list[Tensor], node: Expr, _axes: dict[str, int]) -> Tensor:
    value = args[0]
    for axis in option(node, "axes"):
        value = value.unsqueeze(axis)
    return value


operation("insert", _insert_value, lambda n, o, g: [total(g, option(n, "axes"))])


# -- element by element ----------------------------------------------------------------------


def _add_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    return [summed_to(expanded(g, node.shape), item.shape) for item in node.args]


def _mul_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    args = node.args
    others = [args[:k] + args[k + 1 :] for k in range(len(args))]
    whole = [expanded(mul(g, *rest), node.shape) for rest in others]
    return [summed_to(item, arg.shape) for item, arg in zip(whole, args, strict=True)]


def _power_pull(node: Expr, out: Expr, g: Expr) -> Pulled:
    base, exponent = node.args
    down = mul(g, exponent, power(base, add(exponent, number(-1))))
    if exponent.kind == "number":
        return [down, None]
    up = mul(g, out, call("log", base, shape=base.shape))
    return [summed_to(down, base.shape), summed_to(up, exponent.shape)]


def _product(args: list[Tensor]) -> Tensor:
    made = args[0]
    for item in args[1:]:
        made = made * item
    return made


def _raised(args: list[Tensor], node: Expr, _axes: Any) -> Tensor:
    exponent = node.args[1]
    return args[0] ** (float(exponent.data) if exponent.kind == "number" else args[1])


operation("add", lambda a, n, _: sum(a[1:], a[0]), _add_pull, "a sum hands its upstream to each")
operation("mul", lambda a, n, _: _product(a), _mul_pull, "each factor gets the others")
operation("power", _raised, _power_pull, "(x^n)' = n x^(n-1)")


def condition(first: Expr, relation: str, second: Expr) -> Expr:
    """``1{first > second}``: 1 where it holds, 0 elsewhere."""
    shape = broadcast([first.shape, second.shape])
    return Expr("indicator", (first, second), shape, (relation,))


def both(parts: Sequence[Expr]) -> Expr:
    """Where all of several conditions hold."""
    args = tuple(item for part in parts for item in part.args)
    relations = tuple(item for part in parts for item in part.data)
    return Expr("indicator", args, broadcast([part.shape for part in parts]), relations)


_RELATIONS = {">": torch.gt, ">=": torch.ge, "<": torch.lt, "<=": torch.le}


def _indicator_value(args: list[Tensor], node: Expr, axes: dict[str, int]) -> Tensor:
    holds = [
        _RELATIONS[relation](args[2 * k], args[2 * k + 1]) for k, relation in enumerate(node.data)
    ]
    made = holds[0]
    for item in holds[1:]:
        made = made & item
    return made.to(torch.float64).expand(concrete(node.shape, axes))


operation("indicator", _indicator_value, lambda n, o, g: [None] * len(n.args))
ZERO = number(0)


def positive(x: Expr) -> Expr:
    return condition(x, ">", ZERO)


def choice(test: Expr, yes: Expr, no: Expr) -> Expr:
    shape = broadcast([test.shape, yes.shape, no.shape])
    return call("where", test, yes, no, shape=shape)


def _extreme_pull(relation: str) -> Callable[[Expr, Expr, Expr], Pulled]:
    def pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
        found = []
        for k, mine in enumerate(node.args):
            rest = node.args[:k] + node.args[k + 1 :]
            wins = both([condition(mine, relation, other) for other in rest])
            found.append(summed_to(expanded(mul(g, wins), node.shape), mine.shape))
        return found

    return pull


def _largest(args: list[Tensor], _node: Expr, _axes: Any) -> Tensor:
    made = args[0]
    for item in args[1:]:
        made = torch.maximum(made, item)
    return made


def _smallest(args: list[Tensor], _node: Expr, _axes: Any) -> Tensor:
    return -_largest([-item for item in args], _node, _axes)


operation("max", _largest, _extreme_pull(">"), "the upstream goes to the largest", "maximum")
operation("min", _smallest, _extreme_pull("<"), "the upstream goes to the smallest", "maximum")
operation("where", lambda a, n, _: torch.where(a[0] > 0, a[1], a[2]),
          lambda n, o, g: [None, *(summed_to(expanded(mul(g, side), n.shape), arg.shape)
                                   for side, arg in zip(
                                       (n.args[0], add(number(1), -n.args[0])), n.args[1:],
                                       strict=True))],
          "the upstream goes to the side that is taken")  # fmt: skip


def _unary(
    kind: str, value: Callable[[Tensor], Tensor], local: Any, reason: str, rule: str = ""
) -> None:
    """An operation on each element; ``local`` is its derivative from input and output."""
    operation(kind, lambda a, n, _: value(a[0]),
              lambda n, out, g: [mul(g, local(n.args[0], out))], reason, rule)  # fmt: skip


def _of(kind: str, x: Expr) -> Expr:
    return call(kind, x, shape=x.shape)


ONE = number(1)
_unary("exp", torch.exp, lambda x, y: y, "exp' is exp itself")
_unary("log", torch.log, lambda x, y: ONE / x, "log' = 1/x")
_unary("sqrt", torch.sqrt, lambda x, y: ONE / (number(2) * y), "sqrt' = 1/(2 sqrt)")
_unary("tanh", torch.tanh, lambda x, y: ONE - y * y, "tanh' = 1 - tanh^2, its own output")
_unary("sigmoid", torch.sigmoid, lambda x, y: y * (ONE - y), "sigmoid' = s (1 - s), its output")
_unary("relu", torch.relu, lambda x, y: positive(x), "relu' = 1 where x > 0", "relu")
_unary("abs", torch.abs, lambda x, y: _of("sign", x), "abs' = sign", "abs")
_unary("sign", torch.sign, lambda x, y: ZERO, "flat almost everywhere", "rounding")
_unary("sin", torch.sin, lambda x, y: _of("cos", x), "sin' = cos")
_unary("cos", torch.cos, lambda x, y: -_of("sin", x), "cos' = -sin")
_unary("softplus", torch.nn.functional.softplus, lambda x, y: _of("sigmoid", x),
       "softplus' = sigmoid")  # fmt: skip


def _leaky_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    x, slope = node.args
    by_slope = mul(g, x, condition(x, "<", ZERO))
    return [mul(g, choice(positive(x), ONE, slope)), summed_to(by_slope, slope.shape)]


def _elu_pull(node: Expr, out: Expr, g: Expr) -> Pulled:
    x, alpha = node.args
    by_alpha = mul(g, _of("exp", x) - ONE, condition(x, "<", ZERO))
    local = choice(positive(x), ONE, out + alpha)
    return [mul(g, local), summed_to(by_alpha, alpha.shape)]


operation("leaky_relu", lambda a, n, _: torch.where(a[0] > 0, a[0], a[1] * a[0]), _leaky_pull,
          "leaky_relu' = 1 where x > 0, the slope elsewhere", "leaky_relu")  # fmt: skip
operation("elu", lambda a, n, _: torch.where(a[0] > 0, a[0], a[1] * (a[0].clamp(max=0).exp() - 1)),
          _elu_pull, "elu' = 1 where x > 0, elu + alpha elsewhere", "elu")  # fmt: skip


# -- vectors and matrices --------------------------------------------------------------------


def matmul(a: Expr, b: Expr) -> Expr:
    """The matrix product; numbers and scalars stand in front.

    Args:
        a: (N, D), or (D,).
        b: (D, C), or (D,).
    """
    outside, inside = [], []
    for item in (a, b):
        rest = [part for part in item.args if part.shape != ()] if item.kind == "mul" else [item]
        if item.kind == "mul":
            outside += [part for part in item.args if part.shape == ()]
        inside.append(mul(*rest) if len(rest) > 1 else rest[0])
    shape = a.shape[:-1] + (b.shape[1:] if len(b.shape) > 1 else ())
    product = call("matmul", *inside, shape=shape)
    return mul(*outside, product) if outside else product


def transposed(a: Expr) -> Expr:
    if len(a.shape) < 2:
        return a
    if a.kind == "transpose":
        return a.args[0]
    if a.kind == "matmul" and all(len(item.shape) == 2 for item in a.args):
        return matmul(transposed(a.args[1]), transposed(a.args[0]))
    if a.kind == "mul":
        scalars = [item for item in a.args if item.shape == ()]
        rest = [item for item in a.args if item.shape != ()]
        if scalars and len(rest) == 1:
            return mul(*scalars, transposed(rest[0]))
    return call("transpose", a, shape=(*a.shape[:-2], a.shape[-1], a.shape[-2]))


def outer(a: Expr, b: Expr) -> Expr:
    """``a b^T``."""
    scalars = [
        part for item in (a, b) if item.kind == "mul" for part in item.args if not part.shape
    ]
    a, b = (_without_scalars(item) for item in (a, b))
    made = call("outer", a, b, shape=(*a.shape, *b.shape))
    return mul(*scalars, made) if scalars else made


def _without_scalars(item: Expr) -> Expr:
    if item.kind != "mul":
        return item
    return mul(*(part for part in item.args if part.shape != ()))


def _matmul_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    a, b = node.args
    ranks = (len(a.shape), len(b.shape))
    if ranks == (2, 2):
        return [matmul(g, transposed(b)), matmul(transposed(a), g)]
    if ranks == (2, 1):
        return [outer(g, b), matmul(transposed(a), g)]
    if ranks == (1, 2):
        return [matmul(b, g), outer(a, g)]
    return [mul(g, b), mul(g, a)]


operation("matmul", lambda a, n, _: a[0] @ a[1], _matmul_pull,
          "A = B C: dB = dA C^T, dC = B^T dA")  # fmt: skip
operation("transpose", lambda a, n, _: a[0].transpose(-1, -2),
          lambda n, o, g: [transposed(g)], "transposed back")  # fmt: skip
operation("outer", lambda a, n, _: torch.outer(a[0], a[1]),
          lambda n, o, g: [matmul(g, n.args[1]), matmul(transposed(g), n.args[0])])  # fmt: skip


def reshaped(node: Expr, shape: Shape) -> Expr:
    return node if node.shape == shape else call("reshape", node, shape=shape)


operation("reshape", lambda a, n, axes: a[0].reshape(concrete(n.shape, axes)),
          lambda n, o, g: [reshaped(g, n.args[0].shape)], "only the shape changes")  # fmt: skip


def element(node: Expr, places: tuple[int, ...]) -> Expr:
    """One element of an array; places count from 1, as on paper."""
    return call("element", node, shape=(), places=places)


def _place_value(args: list[Tensor], node: Expr, axes: dict[str, int]) -> Tensor:
    made = args[0].new_zeros(concrete(node.shape, axes))
    made[tuple(k - 1 for k in option(node, "places"))] = 1.0
    return made * args[0]


operation("element", lambda a, n, _: a[0][tuple(k - 1 for k in option(n, "places"))],
          lambda n, o, g: [call("placed", g, shape=n.args[0].shape, **dict(n.data))],
          "the upstream goes to that element")  # fmt: skip
operation("placed", _place_value, lambda n, o, g: [element(g, option(n, "places"))])


def applied(node: Expr, first: Expr) -> Expr:
    """The same operation with another first argument of the same shape."""
    return Expr(node.kind, (first, *node.args[1:]), node.shape, node.data)


def tidied(node: Expr) -> Expr:
    """An operation made again, so that what its arguments became is collected."""
    if node.kind == "sum":
        return total(node.args[0], option(node, "axes"), option(node, "keep"))
    makers: dict[str, Callable[..., Expr]] = {
        "matmul": matmul, "transpose": transposed, "outer": outer,
    }  # fmt: skip
    if node.kind in makers:
        return makers[node.kind](*node.args)
    if node.kind == "expand":
        return expanded(node.args[0], node.shape)
    return node


__all__ = [
    "OPERATIONS", "Operation", "both", "choice", "condition", "evaluate", "matmul", "operation",
    "outer", "positive", "reshaped", "size", "spread", "summed_to", "total", "transposed",
]  # fmt: skip
