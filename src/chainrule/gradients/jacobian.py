"""Jacobian: singular values of a layer's Jacobian, exact where it is small."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from chainrule.gradients.flow_answer import SingularValues
from chainrule.gradients.lanczos import lanczos

LayerFunction = Callable[[Tensor], Tensor]
_MOST_OUTPUTS, _MOST_ELEMENTS = 512, 2**22  # of a matrix that is written out
_ITERATIONS, _PROBES = 24, 16
_RESOLVED = 0.05  # a smallest value that is uncertain by more of itself is not told


def singular_values(
    function: LayerFunction, inputs: Tensor, *, elementwise: bool = False
) -> SingularValues:
    """Largest, smallest and rms singular value of the Jacobian, averaged over the examples.

    Written out where it has at most 512 outputs and 4 million elements, and for elementwise
    functions, whose Jacobian is diagonal; else by Lanczos iterations on J^T J or J J^T (products
    with vectors alone) for the ends, and ``E |J v|^2 = |J|_F^2`` for the rms.

    Args:
        function: (k, *input) to (k, *output), each example for itself.
        inputs: (k, *input) floating.
        elementwise: whether each output depends on one input alone, at the same place.

    Source: J. Pennington, S. Schoenholz and S. Ganguli, NeurIPS 2017 (singular values of
    Jacobians and the flow of gradients).

    Examples:
        >>> weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
        >>> found = singular_values(lambda x: x @ weight.T, torch.ones(1, 2))
        >>> round(found.largest, 4), round(found.smallest, 4), round(found.rms, 4)
        (4.0, 3.0, 3.5355)
    """
    outputs = function(inputs[:1].clone()).numel()  # a copy, which may be overwritten
    shape = (outputs, inputs[0].numel())
    exact = elementwise or (outputs <= _MOST_OUTPUTS and math.prod(shape) <= _MOST_ELEMENTS)
    rows = [
        _diagonal(function, example) if elementwise else _ends(function, example, exact)
        for example in torch.split(inputs.detach(), 1)
    ]
    smallest = [row[1] for row in rows if row[1] is not None]
    return SingularValues(
        sum(row[0] for row in rows) / len(rows),
        sum(smallest) / len(rows) if len(smallest) == len(rows) else None,
        sum(row[2] for row in rows) / len(rows),
        shape,
        len(rows),
        "exact" if exact else "lanczos",
    )


Ends = tuple[float, float | None, float]


def _diagonal(function: LayerFunction, example: Tensor) -> Ends:
    point = example.clone().requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(function(point * 1).sum(), point)
    return _summary(slopes.double().abs().flatten())


def _summary(values: Tensor) -> Ends:
    return float(values.max()), float(values.min()), float(values.square().mean().sqrt())


def _ends(function: LayerFunction, example: Tensor, exact: bool) -> Ends:
    if exact:
        return _summary(torch.linalg.svdvals(matrix_of(function, example).double()))
    return _iterated(Products(function, example))


def matrix_of(function: LayerFunction, example: Tensor) -> Tensor:
    """(outputs, inputs) Jacobian at one example (1, *input), all rows in one backward pass.

    Examples:
        >>> matrix_of(torch.sin, torch.zeros(1, 2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    point = example.detach().clone().requires_grad_()
    with torch.enable_grad():
        output = function(point * 1).flatten()
        basis = torch.eye(output.numel(), dtype=output.dtype)
        rows = [
            torch.autograd.grad(output, point, vector, retain_graph=True)[0].flatten()
            for vector in basis
        ]
    return torch.stack(rows)


class Products:
    """Products of the Jacobian at one example with vectors, from either side.

    The product from the right is the derivative of the one from the left by its vector, so that
    no operation needs a forward mode.

    Args:
        function: (1, *input) to (1, *output).
        example: (1, *input).
    """

    def __init__(self, function: LayerFunction, example: Tensor) -> None:
        self.point = example.detach().clone().requires_grad_()
        with torch.enable_grad():
            self.output = function(self.point * 1)
            self.upstream = torch.zeros_like(self.output).requires_grad_()
            (self._back,) = torch.autograd.grad(
                self.output, self.point, self.upstream, create_graph=True
            )

    def left(self, vector: Tensor) -> Tensor:
        """J^T v of a flat vector v."""
        given = vector.view_as(self.output)
        (found,) = torch.autograd.grad(self.output, self.point, given, retain_graph=True)
        return found.flatten()

    def right(self, vector: Tensor) -> Tensor:
        """J v of a flat vector v."""
        given = vector.view_as(self.point)
        (found,) = torch.autograd.grad(self._back, self.upstream, given, retain_graph=True)
        return found.flatten()


def _iterated(products: Products) -> Ends:
    inputs, outputs = products.point.numel(), products.output.numel()
    size = min(inputs, outputs)

    def product(vector: Tensor) -> Tensor:
        if inputs <= outputs:
            return products.left(products.right(vector))
        return products.right(products.left(vector))

    kind = products.point.dtype
    found = lanczos(product, size, iterations=_ITERATIONS, tolerance=1e-3, dtype=kind)
    values, bounds = found.values.clamp(min=0).sqrt(), found.bounds
    known = found.complete or bool(bounds[0] < 2 * _RESOLVED * found.values[0])
    return float(values[-1]), float(values[0]) if known else None, _rms(products, size)


def _rms(products: Products, size: int) -> float:
    generator = torch.Generator().manual_seed(1)
    squares = 0.0
    for _ in range(_PROBES):
        signs = torch.randint(0, 2, (products.point.numel(),), generator=generator) * 2 - 1
        squares += float(products.right(signs.to(products.point.dtype)).double().square().sum())
    return math.sqrt(squares / _PROBES / size)
