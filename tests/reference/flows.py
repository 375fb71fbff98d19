"""A multilayer perceptron forward and back in NumPy float64, example by example."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = list[tuple[Array, Array]]


def activations(weights: Weights, functions: list[str], inputs: Array) -> list[Array]:
    """Output of every layer: linear, function, linear, function, ..., linear."""
    found, x = [], inputs
    for place, (weight, bias) in enumerate(weights):
        x = np.stack([weight @ row + bias for row in x])
        found.append(x)
        if place < len(functions):
            x = {
                "tanh": np.tanh,
                "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
                "relu": lambda v: np.maximum(v, 0),
            }[functions[place]](x)
            found.append(x)
    return found


def slope(function: str, output: Array) -> Array:
    """Derivative of the function where it gave this output."""
    if function == "tanh":
        return 1 - output**2
    return output * (1 - output) if function == "sigmoid" else (output > 0).astype(float)


def softmax_gradient(scores: Array, targets: NDArray[np.int64]) -> tuple[float, Array]:
    """Mean loss, and for each example the gradient of its own loss."""
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    shares = shifted / shifted.sum(1, keepdims=True)
    rows = np.arange(len(scores))
    loss = float(-np.log(shares[rows, targets]).mean())
    shares[rows, targets] -= 1
    return loss, shares


def gradients(
    weights: Weights, functions: list[str], inputs: Array, targets: NDArray[np.int64]
) -> tuple[float, list[Array], Weights]:
    """Mean loss; each example's gradient by each output; the mean gradient by the parameters."""
    outputs = activations(weights, functions, inputs)
    loss, g = softmax_gradient(outputs[-1], targets)
    by_output, by_weights = [g], []
    for place in reversed(range(len(weights))):
        before = outputs[2 * place - 1] if place else inputs
        by_weights.append((g.T @ before / len(inputs), g.mean(0)))
        if place:
            g = g @ weights[place][0]
            by_output.append(g)
            g = g * slope(functions[place - 1], before)
            by_output.append(g)
    return loss, by_output[::-1], by_weights[::-1]


def numerical_jacobian(function: Any, point: Array, step: float = 1e-6) -> Array:
    """(outputs, inputs) by centered differences."""
    columns = []
    for place in range(point.size):
        moved = np.zeros(point.size)
        moved[place] = step
        moved = moved.reshape(point.shape)
        columns.append((function(point + moved) - function(point - moved)).ravel() / (2 * step))
    return np.stack(columns, 1)
