"""Shared variables: the gradients of all uses add up, proved by giving each use its own copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.derived import completed, gradient, value_of
from chainrule.study.practice.families.drafting import enough_mistakes, halves, numbers, shown
from chainrule.study.practice.question import LEVELS, Draft, Family

_WAY = "autograd with a copy of the variable for each use"
_FIRST, _LAST = "counts the first use alone", "counts the last use alone"


@dataclass(frozen=True)
class _Sharing:
    """Equations in which one input is used several times.

    Attributes:
        equations: one after the other.
        wrt: the shared input.
        others: further inputs, in order.
        copied: the output from a list of copies of the shared input and the others.
        uses: how many copies.
        kink: a value that must not be 0.
        slips: wrong formulas with their reasons.
    """

    equations: str
    wrt: str
    others: tuple[str, ...]
    copied: Callable[..., Tensor]
    uses: int
    slips: tuple[tuple[str, str], ...] = ()
    kink: str = ""


_SHARINGS: dict[int, tuple[_Sharing, ...]] = {
    1: (
        _Sharing("L = a*b + a", "a", ("b",), lambda c, b: c[0] * b + c[1], 2,
                 (("a*b", "gives a product's value"), ("a + 1", "takes a instead of b"))),
        _Sharing("L = a^2 + a*b", "a", ("b",), lambda c, b: c[0] * c[1] + c[2] * b, 3,
                 (("a + b", "counts one of the factors of `a^2` alone"),)),
        _Sharing("L = a*b - a*c", "a", ("b", "c"), lambda c, b, d: c[0] * b - c[1] * d, 2,
                 (("b + c", "forgets the minus sign"), ("a*b - a*c", "gives the value of L"))),
    ),
    2: (
        _Sharing("s = a*b + a; L = s^2", "a", ("b",), lambda c, b: (c[0] * b + c[1]) ** 2, 2,
                 (("s*(b + 1)", "forgets the 2 of the square"), ("2*s", "forgets what a does to "
                  "s"), ("2*s*a", "is the gradient by b"))),
        _Sharing("h = w*x; y = w*h; L = (y - t)^2", "w", ("x", "t"),
                 lambda c, x, t: (c[1] * c[0] * x - t) ** 2, 2,
                 (("(y - t)*(h + w*x)", "forgets the 2 of the square"),
                  ("2*(y - t)*x", "takes the layers for one"))),
        _Sharing("p = k*x1; q = k*x2; L = (p + q - t)^2", "k", ("x1", "x2", "t"),
                 lambda c, x1, x2, t: (c[0] * x1 + c[1] * x2 - t) ** 2, 2,
                 (("(p + q - t)*(x1 + x2)", "forgets the 2 of the square"),
                  ("(p + q - t)*2*x1*x2", "multiplies the uses, but they add up"))),
    ),
    3: (
        _Sharing("h = max(w*x, 0); y = w*h; L = (y - t)^2", "w", ("x", "t"),
                 lambda c, x, t: (c[1] * torch.relu(c[0] * x) - t) ** 2, 2,
                 (("2*(y - t)*(h + w*x)", "forgets the ReLU"),
                  ("(y - t)*(h + w*x*1{w*x > 0})", "forgets the 2 of the square"),
                  ("2*(y - t)*1{w*x > 0}*(x + h)", "forgets that the upper layer multiplies by "
                   "w")), "x"),
        _Sharing("p = max(k*x1 + b, 0); q = max(k*x2 + b, 0); L = p^2 + q*x3", "k",
                 ("x1", "x2", "x3", "b"), lambda c, x1, x2, x3, b: (
                     torch.relu(c[0] * x1 + b) ** 2 + torch.relu(c[1] * x2 + b) * x3), 2,
                 (("2*p*x1 + x3*x2", "forgets the ReLUs"),
                  ("p*1{p > 0}*x1 + x3*x2*1{q > 0}", "forgets the 2 of the square"),
                  ("2*p*x1*x3*x2", "multiplies the uses, but they add up"),
                  ("2*p + x3", "forgets the inputs")), "p"),
        _Sharing("h1 = w*x + b; h2 = w*h1 + b; h3 = w*h2 + b; L = h3", "w", ("x", "b"),
                 lambda c, x, b: c[2] * (c[1] * (c[0] * x + b) + b) + b, 3,
                 (("3*h2", "takes every use for the last one"), ("h2 + h1 + x", "forgets the way "
                  "from each use to L"), ("3*w^2*x", "forgets b"))),
    ),
}  # fmt: skip


@enough_mistakes
def _shared(drawn: Random, level: int) -> Draft:
    sharing = drawn.choice(_SHARINGS[level])
    formula = gradient(sharing.equations, sharing.wrt)
    while True:
        inputs = {
            name: halves(drawn, 0.5, 3 if level > 1 else 5) * drawn.choice((-1, 1))
            for name in (sharing.wrt, *sharing.others)
        }
        point = completed(sharing.equations, inputs)
        right = value_of(formula, point)
        if 0.1 < abs(right) < 1000 and (level < 3 or _open(sharing, point)):
            break
    parts = _by_copies(sharing, inputs)
    given = ", ".join(f"{name} = {shown(value)}" for name, value in inputs.items())
    product = 1.0
    for part in parts:
        product *= part
    return Draft(
        text=f"`{sharing.equations}` with `{given}`. The variable `{sharing.wrt}` is used more "
        f"than once. What is `dL/d{sharing.wrt}`?",
        conventions=(f"the derivative of L by `{sharing.wrt}` itself, with all its uses",),
        expected=Number(right),
        proved=sum(parts),
        way=_WAY,
        mistakes=numbers(
            (parts[0], _FIRST),
            (parts[-1], _LAST),
            (right / len(parts), "averages over the uses, but they add up"),
            (product, "multiplies the uses, but they add up"),
            *((value_of(text, point), why) for text, why in sharing.slips),
            (-right, "has the sign turned"),
        ),
        solution=(
            *(f"use {i + 1} alone: {shown(part)}" for i, part in enumerate(parts)),
            f"dL/d{sharing.wrt} = {formula}",
            f"all uses together: {shown(right)}",
        ),
    )


def _open(sharing: _Sharing, point: dict[str, Tensor]) -> bool:
    """Whether a ReLU lets something through."""
    values = [point[name] for name in ("h", "p") if name in point and sharing.kink]
    return all(bool(value > 0) for value in values)


def _by_copies(sharing: _Sharing, inputs: dict[str, float]) -> list[float]:
    """What autograd gives by each use, where each has its own copy."""
    copies = [
        torch.tensor(inputs[sharing.wrt], dtype=torch.float64, requires_grad=True)
        for _ in range(sharing.uses)
    ]
    others = [torch.tensor(inputs[name], dtype=torch.float64) for name in sharing.others]
    return [float(item) for item in torch.autograd.grad(sharing.copied(copies, *others), copies)]


SHARED = (
    Family("shared-variable", "shared-variables", "gradient by a variable used several times",
           LEVELS, _shared),
)  # fmt: skip
