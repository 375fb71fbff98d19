"""Update rules written out for one float64 vector, from the formulas of the papers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Gradient = Callable[[Vector], Vector]


def sgd(w: Vector, gradient: Gradient, rate: float, steps: int) -> Vector:
    for _ in range(steps):
        w = w - rate * gradient(w)
    return w


def momentum(w: Vector, gradient: Gradient, rate: float, steps: int) -> Vector:
    v = np.zeros_like(w)  # the course's velocity: the learning rate is inside
    for _ in range(steps):
        v = 0.9 * v - rate * gradient(w)
        w = w + v
    return w


def nesterov(w: Vector, gradient: Gradient, rate: float, steps: int) -> Vector:
    v = np.zeros_like(w)
    for _ in range(steps):
        v_before = v
        v = 0.9 * v - rate * gradient(w)
        w = w - 0.9 * v_before + (1 + 0.9) * v
    return w


def adagrad(w: Vector, gradient: Gradient, rate: float, steps: int) -> Vector:
    cache = np.zeros_like(w)
    for _ in range(steps):
        g = gradient(w)
        cache = cache + g**2
        w = w - rate * g / (np.sqrt(cache) + 1e-10)
    return w


def rmsprop(w: Vector, gradient: Gradient, rate: float, steps: int) -> Vector:
    cache = np.zeros_like(w)
    for _ in range(steps):
        g = gradient(w)
        cache = 0.99 * cache + 0.01 * g**2
        w = w - rate * g / (np.sqrt(cache) + 1e-8)
    return w


def adam(w: Vector, gradient: Gradient, rate: float, steps: int) -> Vector:
    m, cache = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, steps + 1):
        g = gradient(w)
        m = 0.9 * m + 0.1 * g
        cache = 0.999 * cache + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(cache / (1 - 0.999**t)) + 1e-8)
    return w


def adamw(w: Vector, gradient: Gradient, rate: float, steps: int, decay: float) -> Vector:
    m, cache = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, steps + 1):
        g = gradient(w)
        w = w - rate * decay * w
        m = 0.9 * m + 0.1 * g
        cache = 0.999 * cache + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(cache / (1 - 0.999**t)) + 1e-8)
    return w


RULES = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
}
