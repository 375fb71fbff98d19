"""Backpropagation by hand: small graphs in numbers and letters, shared variables, matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.convnet_formulas import CONVNETS
from chainrule.study.practice.families.derived import completed, gradient, value_of
from chainrule.study.practice.families.drafting import enough_mistakes, halves, numbers, shown
from chainrule.study.practice.families.gate_formulas import GATES
from chainrule.study.practice.families.matrix_gradients import MATRICES
from chainrule.study.practice.families.shared_variables import SHARED
from chainrule.study.practice.question import LEVELS, Draft, Family

_SMALLEST = 0.02  # gradients nearer to 0 are drawn again, unless they are 0


@dataclass(frozen=True)
class _Graph:
    """A small graph, the name by which its output is differentiated, and known slips.

    Attributes:
        equations: one after the other.
        wrt: an input.
        run: the output in PyTorch, from the inputs in order.
        slips: wrong formulas with their reasons.
        largest: of the numbers that are drawn.
    """

    equations: str
    wrt: str
    run: Callable[..., Tensor]
    slips: tuple[tuple[str, str], ...]
    largest: float = 5

    @property
    def inputs(self) -> list[str]:
        names = self.run.__code__.co_varnames[: self.run.__code__.co_argcount]
        return list(names)


_OTHER_PATH = "follows one path alone, but both add up"
_GRAPHS: dict[int, tuple[_Graph, ...]] = {
    1: (
        _Graph("s = x + y; f = s*z", "x", lambda x, y, z: (x + y) * z, (
            ("s", "is the gradient by z"), ("1", "forgets what flows into the sum"),
            ("f", "gives the value of f"), ("x*z", "multiplies by x itself"))),
        _Graph("m = max(x, y); f = m*z", "x", lambda x, y, z: torch.maximum(x, y) * z, (
            ("z*1{x < y}", "sends the gradient to the smaller input"),
            ("m", "is the gradient by z"), ("z/2", "shares the gradient between the inputs"),
            ("x*z", "multiplies by x itself"), ("1", "forgets what flows into the max"))),
        _Graph("p = x*y; f = p + z", "x", lambda x, y, z: x * y + z, (
            ("x", "takes the input itself instead of the other one"),
            ("1", "forgets the product"), ("y + z", "adds what the sum only passes by"),
            ("f", "gives the value of f"))),
        _Graph("p = x*y; f = p*z", "y", lambda x, y, z: x * y * z, (
            ("x", "forgets what flows into the product"), ("y*z", "takes y instead of x"),
            ("x + z", "adds where the chain rule multiplies"), ("f", "gives the value of f"))),
    ),
    2: (
        _Graph("p = x*y; s = p + x; f = s*z", "x", lambda x, y, z: (x * y + x) * z, (
            ("y*z", _OTHER_PATH), ("z", "follows the direct path alone"),
            ("y + 1", "forgets what flows into the sum"), ("s", "is the gradient by z"))),
        _Graph("z = w*x + b; h = max(z, 0); L = (h - t)^2", "w",
               lambda w, x, b, t: (torch.relu(w * x + b) - t) ** 2, (
            ("(h - t)*1{z > 0}*x", "forgets the 2 of the square"),
            ("2*(h - t)*1{z > 0}*w", "multiplies by w instead of x"),
            ("2*(z - t)*x", "forgets the ReLU"), ("2*(h - t)*1{z > 0}", "forgets the factor x"),
            ("-2*(h - t)*1{z > 0}*x", "has the sign turned"),
            ("(h - t)^2", "gives the loss itself"), ("x", "forgets what flows in"))),
        _Graph("m = max(x, y); p = x*y; f = m + p", "x",
               lambda x, y: torch.maximum(x, y) + x * y, (
            ("y", "forgets the path through the max"), ("1{x > y}", _OTHER_PATH),
            ("y + 1{x < y}", "sends the gradient to the smaller input"),
            ("x + 1{x > y}", "takes x instead of y in the product"), ("f", "gives the value"))),
        _Graph("a = x - y; b = x*y; f = a*b", "y", lambda x, y: (x - y) * x * y, (
            ("a*x", _OTHER_PATH), ("-b", "follows the path through a alone"),
            ("a*x + b", "forgets the minus sign of y in a"), ("-x", "multiplies local gradients "
             "of different paths"))),
    ),
    3: (
        _Graph("z = w0*x0 + w1*x1 + b; f = sigmoid(z)", "w0",
               lambda w0, x0, w1, x1, b: torch.sigmoid(w0 * x0 + w1 * x1 + b), (
            ("f*(1 - f)*w0", "multiplies by w0 instead of x0"),
            ("f*(1 - f)", "forgets the factor x0"), ("f*x0", "takes f for the slope of sigmoid"),
            ("z*(1 - z)*x0", "puts z into the slope that wants f"),
            ("(1 - f^2)*x0", "takes the slope of tanh")), 2),
        _Graph("z = w*x + b; h = tanh(z); L = (h - t)^2", "w",
               lambda w, x, b, t: (torch.tanh(w * x + b) - t) ** 2, (
            ("2*(h - t)*h*(1 - h)*x", "takes the slope of sigmoid"),
            ("(h - t)*(1 - h^2)*x", "forgets the 2 of the square"),
            ("2*(h - t)*(1 - z^2)*x", "puts z into the slope that wants h"),
            ("2*(h - t)*x", "forgets the tanh"), ("2*(h - t)*(1 - h^2)*w", "takes w for x")), 1.5),
        _Graph("p = exp(x); q = p + y; f = p/q", "x",
               lambda x, y: torch.exp(x) / (torch.exp(x) + y), (
            ("p/q", "forgets that q depends on x too"), ("-p^2/q^2", "forgets the numerator"),
            ("p/q + p^2/q^2", "forgets the minus sign of the quotient"),
            ("1/q - p/q^2", "forgets the slope of exp"), ("1 - p/q", "forgets a factor")), 3),
        _Graph("s = x*y; h = max(s, z); g = h + x; f = g*h", "x",
               lambda x, y, z: (torch.maximum(x * y, z) + x) * torch.maximum(x * y, z), (
            ("h", "follows the direct path alone"), ("h*1{s > z}*y", "follows one path alone"),
            ("h + h*1{s > z}*y", "forgets that f reads h a second time"),
            ("(g + h)*1{s > z}*y", "forgets the path from x straight to g"),
            ("h + (g + h)*y", "forgets the max")), 3),
    ),
}  # fmt: skip


@enough_mistakes
def _gates(drawn: Random, level: int) -> Draft:
    graph = drawn.choice(_GRAPHS[level])
    formula = gradient(graph.equations, graph.wrt)
    while True:
        inputs = _drawn_inputs(graph, drawn)
        point = completed(graph.equations, inputs)
        right = value_of(formula, point)
        if (abs(right) > _SMALLEST or (right == 0 and level == 1)) and _far_from_kinks(
            graph, point
        ):
            break
    given = ", ".join(f"{name} = {shown(value)}" for name, value in inputs.items())
    lines = graph.equations.split("; ")
    output = lines[-1].split(" = ")[0]
    values = {line.split(" = ")[0]: line for line in lines}
    return Draft(
        text=f"A graph computes `{graph.equations}` at `{given}`. What is `d{output}/d{graph.wrt}` "
        "there?",
        conventions=("max passes the gradient to its largest input",) if "max" in graph.equations
        else (),
        expected=Number(right),
        proved=_by_autograd(graph, inputs),
        way="PyTorch's autograd",
        mistakes=numbers(*((value_of(text, point), why) for text, why in graph.slips)),
        solution=(
            *(f"{line} = {shown(float(point[name].detach()))}" for name, line in values.items()),
            f"d{output}/d{graph.wrt} = {formula} = {shown(right)}",
        ),
    )  # fmt: skip


def _drawn_inputs(graph: _Graph, drawn: Random) -> dict[str, float]:
    """Halves that are not 0; above 0 where a quotient needs it."""
    found = {}
    for name in graph.inputs:
        value = halves(drawn, 0.5, graph.largest)
        found[name] = value if "exp" in graph.equations else value * drawn.choice((-1, 1))
    return found


def _far_from_kinks(graph: _Graph, point: dict[str, Tensor]) -> bool:
    """Whether no max is at a tie, and no slope is saturated."""
    values = [float(item.detach()) for item in point.values()]
    if "max(x, y)" in graph.equations and point["x"] == point["y"]:
        return False
    if "max(s, z)" in graph.equations and point["s"] == point["z"]:
        return False
    flat = "sigmoid" in graph.equations or "tanh" in graph.equations
    return all(math.isfinite(value) for value in values) and not (
        "z = " in graph.equations and (point["z"] == 0 or (flat and abs(point["z"]) > 2))
    )


def _by_autograd(graph: _Graph, inputs: dict[str, float]) -> float:
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True)
              for value in inputs.values()]  # fmt: skip
    wanted = leaves[list(inputs).index(graph.wrt)]
    return float(torch.autograd.grad(graph.run(*leaves), wanted)[0])


FAMILIES = (
    Family("gate-gradient", "backpropagation", "gradient of a small graph", LEVELS, _gates),
    *GATES,
    *CONVNETS,
    *MATRICES,
    *SHARED,
)
