"""Matrix gradients of a linear layer: which product it is, by shapes and by numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule.study.practice.expected import Vector
from chainrule.study.practice.families.drafting import enough_mistakes, listed, vectors
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

Array = NDArray[np.float64]
_CLOSE = 1e-9
_PRODUCTS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "X^T G": lambda x, w, g: x.T @ g,
    "G^T X": lambda x, w, g: g.T @ x,
    "G X^T": lambda x, w, g: g @ x.T,
    "X G^T": lambda x, w, g: x @ g.T,
    "G W^T": lambda x, w, g: g @ w.T,
    "W^T G": lambda x, w, g: w.T @ g,
    "W G": lambda x, w, g: w @ g,
    "G W": lambda x, w, g: g @ w,
    "X G": lambda x, w, g: x @ g,
}
_SUMS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "the sum of G over its rows (axis 0)": lambda x, w, g: g.sum(0),
    "the sum of G over its columns (axis 1)": lambda x, w, g: g.sum(1),
    "the mean of G over its rows (axis 0)": lambda x, w, g: g.mean(0),
    "the first row of G": lambda x, w, g: g[0],
    "the sum of all elements of G": lambda x, w, g: np.asarray(g.sum()),
}


@dataclass(frozen=True)
class _Layer:
    """A linear layer with examples in rows (``Y = X W + b``) or in columns (``Y = W X + b``)."""

    rows: bool
    x: Array
    w: Array
    g: Array

    @property
    def text(self) -> str:
        return "Y = X W + b" if self.rows else "Y = W X"

    def gradients(self) -> dict[str, Array]:
        """dL/dW, dL/dX and dL/db by autograd, for a loss whose gradient by Y is G."""
        x, w, g = (torch.tensor(item, requires_grad=True) for item in (self.x, self.w, self.g))
        b = torch.zeros(self.g.shape[1], dtype=torch.float64, requires_grad=True)
        y = x @ w + b if self.rows else w @ x
        leaves = [w, x, b] if self.rows else [w, x]
        found = torch.autograd.grad((y * g.detach()).sum(), leaves)
        return {name: item.numpy() for name, item in zip("WXb", found, strict=False)}

    def slope(self, name: str) -> Array:
        """The same by central differences of each element."""
        start = {"W": self.w, "X": self.x, "b": np.zeros(self.g.shape[1])}
        found = np.zeros_like(start[name])
        for place in np.ndindex(found.shape):
            up, down = ({key: item.copy() for key, item in start.items()} for _ in range(2))
            up[name][place] += 0.5  # the loss is linear in each, so any step is exact
            down[name][place] -= 0.5
            found[place] = self._loss(up) - self._loss(down)
        return found

    def _loss(self, at: dict[str, Array]) -> float:
        y = at["X"] @ at["W"] + at["b"] if self.rows else at["W"] @ at["X"]
        return float((y * self.g).sum())


def _layer(drawn: Random, sizes: tuple[int, int, int], rows: bool) -> _Layer:
    examples, inputs, outputs = sizes

    def made(*shape: int) -> Array:
        return np.array([[float(drawn.randint(-4, 5)) for _ in range(shape[1])]
                         for _ in range(shape[0])])  # fmt: skip

    if rows:
        return _Layer(rows, made(examples, inputs), made(inputs, outputs), made(examples, outputs))
    return _Layer(rows, made(inputs, examples), made(outputs, inputs), made(outputs, examples))


def _product(drawn: Random, level: int) -> Draft:
    """Level 1: shapes that differ. Level 2: all alike, so that only numbers tell."""
    sizes = drawn.sample(range(2, 9), 3) if level == 1 else [drawn.randint(2, 9)] * 3
    rows = drawn.random() < 0.5
    layer = _layer(drawn, (sizes[0], sizes[1], sizes[2]), rows)
    name = drawn.choice("WXb" if rows else "WX")
    truth, slope = layer.gradients()[name], layer.slope(name)
    rules = _SUMS if name == "b" else _PRODUCTS
    found = {text: _tried(rule, layer) for text, rule in rules.items()}
    right = [text for text, item in found.items() if _same(item, truth)]
    wrong = [text for text in found if text not in right]
    chosen = [*right[:1], *drawn.sample(wrong, 4 if len(wrong) > 4 else len(wrong))]
    shapes = ", ".join(
        f"{key} {'x'.join(map(str, item.shape))}"
        for key, item in (("X", layer.x), ("W", layer.w), ("G", layer.g))
    )
    order = "rows" if rows else "columns"
    return Draft(
        text=f"A linear layer computes `{layer.text}` on examples in {order}, and `G = dL/dY` is "
        f"known. The shapes are {shapes}. What is `dL/d{name}`?",
        conventions=("`A B` is the matrix product, `^T` the transpose",
                     "dL/dY is that of the whole loss, with its mean if it has one"),
        options=tuple(_option(text, found[text], truth, text in right) for text in chosen),
        proved=tuple(_same(found[text], slope) for text in chosen),
        way="central differences of every element",
        solution=(
            f"the gradient has the shape of {name}: {'x'.join(map(str, truth.shape))}",
            "each element of the result sums over what the forward pass does not sum over: "
            f"dL/d{name} = {right[0]}",
        ),
    )  # fmt: skip


def _tried(rule: Callable[[Array, Array, Array], Array], layer: _Layer) -> Array | None:
    """The product, None where shapes do not fit."""
    try:
        return rule(layer.x, layer.w, layer.g)
    except ValueError:
        return None


def _same(one: Array | None, other: Array) -> bool:
    return one is not None and one.shape == other.shape and bool(np.abs(one - other).max() < _CLOSE)


def _option(text: str, found: Array | None, truth: Array, right: bool) -> Option:
    if right:
        return Option(text, True, "Central differences of every element give the same.")
    wanted = "x".join(map(str, truth.shape))
    name = text[0].upper() + text[1:]
    if found is None:
        return Option(text, False, f"{name}: the shapes do not fit in this product.")
    if found.shape != truth.shape:
        got = "x".join(map(str, found.shape))
        has = f"has the shape {got}" if got else "is one number"
        return Option(text, False, f"{name} {has}, but the shape {wanted} is wanted.")
    place = tuple(int(item) for item in np.argwhere(np.abs(found - truth) > _CLOSE)[0])
    return Option(text, False, f"{name} has {found[place]:g} where differences give "
                  f"{truth[place]:g}.")  # fmt: skip


@enough_mistakes
def _numbers(drawn: Random, level: int) -> Draft:
    """The gradient itself for matrices of 2 x 2."""
    layer = _layer(drawn, (2, 2, 2), rows=True)
    name = {1: "b", 2: drawn.choice("WX"), 3: drawn.choice("WX")}[level]
    relu = level == 3
    before = layer.x @ layer.w
    open_ = (before > 0).astype(float) if relu else np.ones_like(before)
    if relu and (not before.all() or not 0 < open_.sum() < 4):
        return _numbers(drawn, level)
    passed = _Layer(True, layer.x, layer.w, layer.g * open_)
    rule = {"W": "X^T G", "X": "G W^T", "b": ""}[name]
    computed = passed.g.sum(0) if name == "b" else _PRODUCTS[rule](passed.x, passed.w, passed.g)
    proved = _with_relu(layer, name) if relu else passed.gradients()[name]
    x, w, g = passed.x, passed.w, passed.g
    slips = {
        "b": [(g.sum(1), "sums over the outputs, not over the examples"),
              (g.mean(0), "averages over the examples, but G has that already"),
              (g[0], "takes the first example alone"), (g[1], "takes the last example alone"),
              (layer.x.sum(0), "sums the inputs")],
        "W": [(g.T @ x, "gives the transpose"), (x @ g, "forgets to transpose X"),
              (g @ x.T, "multiplies in the wrong order"), (x.T @ g / 2, "divides by N, but G has "
               "that already"), (g @ w.T, "is the gradient by X"),
              (x.T @ layer.g, "forgets the ReLU")],
        "X": [(g @ w, "forgets to transpose W"), (w.T @ g, "multiplies in the wrong order"),
              (w @ g, "multiplies in the wrong order and forgets to transpose"),
              ((g @ w.T).T, "gives the transpose"), (x.T @ g, "is the gradient by W"),
              (layer.g @ w.T, "forgets the ReLU")],
    }[name]  # fmt: skip
    if relu:
        slips = slips[-1:] + slips[:-1]
    what = "Y = max(X W + b, 0)" if relu else "Y = X W + b"
    count = "2 numbers" if name == "b" else "4 numbers, row by row"
    return Draft(
        text=f"A layer computes `{what}` with examples in the rows of `X = {_rows(layer.x)}`, `W = "
        f"{_rows(layer.w)}`, `b = [0, 0]`. Upstream, `dL/dY = {_rows(layer.g)}`. What is "
        f"`dL/d{name}`? Give {count}.",
        conventions=("dL/dY is that of the whole loss, with its mean if it has one",),
        expected=Vector(tuple(computed.flatten().tolist())),
        proved=proved.flatten().tolist(),
        way="PyTorch's autograd",
        mistakes=vectors(*((item.flatten().tolist(), why) for item, why in slips)),
        solution=(
            *([f"X W = {_rows(before)}, so G = {_rows(passed.g)} behind the ReLU"] if relu else []),
            "dL/db = the sum of the rows of G" if name == "b" else f"dL/d{name} = {rule}",
            f"row by row: {listed(computed.flatten().tolist())}",
        ),
    )  # fmt: skip


def _with_relu(layer: _Layer, name: str) -> Array:
    x, w = (torch.tensor(item, requires_grad=True) for item in (layer.x, layer.w))
    total = (torch.relu(x @ w) * torch.tensor(layer.g)).sum()
    found: Array = torch.autograd.grad(total, w if name == "W" else x)[0].numpy()
    return found


def _rows(matrix: Array) -> str:
    return f"[{', '.join(listed(row) for row in matrix.tolist())}]"


MATRICES = (
    Family("matrix-product", "backpropagation", "gradient of a linear layer as a product", (1, 2),
           _product),
    Family("matrix-gradient", "backpropagation", "gradient of a linear layer in numbers", LEVELS,
           _numbers),
)  # fmt: skip
