"""NumPy pair: forward and backward written by hand, as in the assignments of a course.

``forward(x, w, b) -> (out, cache)`` and ``backward(dout, cache) -> (dx, dw, db)``; without a
cache ``forward(x, w, b) -> out`` and ``backward(dout, x, w, b)``. One function that gives the loss
and its gradients, ``loss(x, y) -> (loss, dx)``, is checked as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.errors import GradientError, ShapeError
from chainrule.gradients.problem import Problem, Values

Array = np.ndarray[Any, Any]


def is_numpy(inputs: Any) -> bool:
    """Whether inputs were given as NumPy arrays."""
    items = inputs if isinstance(inputs, tuple | list) else [inputs]
    return any(isinstance(item, np.ndarray) for item in items)


def pair_problem(target: Any, inputs: Sequence[Any]) -> Problem:
    """The problem of a hand-written backward.

    Args:
        target: (forward, backward), or one function that gives (loss, gradients).
        inputs: arrays, one for each argument of forward.

    Raises:
        GradientError: not two functions, or one that fails.
        ShapeError: backward gives too few gradients, or of other shapes than the inputs.
    """
    forward, backward = target if isinstance(target, tuple) else (target, None)
    if not callable(forward) or not (backward is None or callable(backward)):
        raise GradientError("target got a pair that is not (forward, backward), two functions")
    names = _names(forward, len(inputs))
    given = [np.array(item, copy=True) for item in inputs]
    floats = [place for place, item in enumerate(given) if np.issubdtype(item.dtype, np.floating)]
    if not floats:
        raise GradientError("inputs are all whole numbers: give at least one array of floats")
    leaves = {names[place]: torch.from_numpy(given[place].astype(np.float64)) for place in floats}

    def arguments(values: Values) -> list[Array]:
        return [
            values[names[place]].detach().numpy().copy() if place in floats else item.copy()
            for place, item in enumerate(given)
        ]

    def function(values: Values) -> Tensor:
        out, _ = _split(_run(forward, *arguments(values)), backward)
        return torch.from_numpy(np.asarray(out, dtype=np.float64).copy())

    def gradients(values: Values, upstream: list[Tensor]) -> dict[str, Tensor | None]:
        arrays = arguments(values)
        _, rest = _split(_run(forward, *arrays), backward)
        if backward is not None:
            d_out = upstream[0].numpy().copy()
            rest = (
                _run(backward, d_out, rest) if rest is not _NONE else _run(backward, d_out, *arrays)
            )
        return _fitted(rest, names, floats, leaves, getattr(backward or forward, "__name__", ""))

    name = getattr(forward, "__name__", "forward")
    return Problem(
        name,
        leaves,
        function,
        gradients,
        inputs=frozenset(leaves),
        watched=False,
        blame=backward or forward,
    )


_NONE: Any = object()


def _run(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        name = getattr(function, "__name__", "function")
        reason = (str(error).splitlines() or [""])[0]
        raise GradientError(
            f"{name} fails on its inputs: {type(error).__name__}: {reason}"
        ) from error


def _split(result: Any, backward: Any) -> tuple[Any, Any]:
    """(output, cache) or (loss, gradients)."""
    if isinstance(result, tuple) and len(result) >= 2:
        return result[0], result[1] if len(result) == 2 else result[1:]
    if backward is None:
        raise GradientError(
            "a NumPy function alone must give (loss, gradients); for others give the pair "
            "(forward, backward)"
        )
    return result, _NONE


def _names(forward: Callable[..., Any], count: int) -> list[str]:
    try:
        names = list(inspect.signature(forward).parameters)[:count]
    except (TypeError, ValueError):
        names = []
    return names if len(names) == count else [f"input {place + 1}" for place in range(count)]


def _fitted(
    found: Any, names: list[str], floats: list[int], leaves: Values, backward: str
) -> dict[str, Tensor | None]:
    """The gradients by name, each of the shape of its input."""
    if isinstance(found, dict):
        found = [found.get(names[place], found.get(f"d{names[place]}")) for place in floats]
    items = list(found) if isinstance(found, tuple | list) else [found]
    if len(items) == len(names):
        items = [items[place] for place in floats]
    if len(items) < len(floats):
        raise ShapeError(
            f"{backward} gives {len(items)} gradients, wants {len(floats)}: one for each of "
            f"{', '.join(leaves)}"
        )
    made: dict[str, Tensor | None] = {}
    for (name, leaf), item in zip(leaves.items(), items, strict=False):
        array = None if item is None else np.asarray(item, dtype=np.float64)
        if array is not None and array.shape != tuple(leaf.shape):
            raise ShapeError(
                f"{backward} gives shape {array.shape} for '{name}', whose shape is "
                f"{tuple(leaf.shape)}: a gradient has the shape of what it belongs to"
            )
        made[name] = None if array is None else torch.from_numpy(array.copy())
    return made
