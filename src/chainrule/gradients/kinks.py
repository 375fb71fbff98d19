"""Kinks: on which piece of a piecewise function a point lies.

A dispatch mode writes down, for every operation that can bend, which piece each element is on:
signs at ReLU, winners at max-pooling, hinge margins, comparisons, orders of sorting. Where two
points have the same pieces throughout, the function between them is smooth; where they have not,
a difference across them proves nothing about the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from chainrule.derivation.rules import Rule, rule_of

Pieces = list[tuple[str, Tensor]]


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down the pieces of every operation that runs while it is active.

    Attributes:
        pieces: (operation, numbers that name the pieces), in order.
        largest: largest magnitude among all results, whose last digit is what gets lost.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pieces: Pieces = []
        self.largest = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        rule = rule_of(name)
        values = _named(func, args, kwargs) if rule is not None else {}
        if name.endswith("_") and rule is not None:  # its input is about to be overwritten
            values = {key: _kept(item) for key, item in values.items()}
        output = func(*args, **kwargs)
        self._note(name, rule, values, output, (*args, *kwargs.values()))
        return output

    def _note(
        self,
        name: str,
        rule: Rule | None,
        values: dict[str, Any],
        output: Any,
        given: Sequence[Any],
    ) -> None:
        results = [item for item in _flat(output) if isinstance(item, Tensor)]
        for item in results:
            if _continuous(item) and item.numel():
                size = float(item.abs().max())
                self.largest = max(self.largest, size) if math.isfinite(size) else self.largest
        discrete = [item for item in results if not _continuous(item)]
        if discrete and any(_continuous(item) for item in _flat(given)):
            self.pieces += [(name, item.clone()) for item in discrete]
        elif rule is not None and rule.piece is not None and results and _real(values):
            self.pieces.append((rule.name, rule.piece(values, results[0]).clone()))


def _continuous(item: Any) -> bool:
    return isinstance(item, Tensor) and (item.is_floating_point() or item.is_complex())


def _real(values: dict[str, Any]) -> bool:
    return isinstance(values.get("self"), Tensor) and values["self"].is_floating_point()


def _kept(item: Any) -> Any:
    return item.clone() if isinstance(item, Tensor) else item


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [item for part in value for item in _flat(part)]
    return [value]


def _named(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operator by name, defaults included."""
    schema = func._schema.arguments
    values = {item.name: item.default_value for item in schema if item.has_default_value()}
    values |= dict(zip((item.name for item in schema), args, strict=False))
    return values | kwargs


def crossed(first: Pieces, second: Pieces) -> str:
    """The first operation that bends between two points, "" when none does.

    Args:
        first: pieces at one point.
        second: pieces at the other.
    """
    for (name, mine), (other, theirs) in zip(first, second, strict=False):
        if name != other or mine.shape != theirs.shape:
            return f"{name} (another path is taken)"
        if not torch.equal(mine, theirs):
            return name
    return "" if len(first) == len(second) else "another path is taken"


def one_sided_gap(
    difference: Callable[[float, float], float], step: float, noise: float, times: int = 3
) -> bool:
    """Whether the slopes from the left and from the right stay apart as the step shrinks.

    For a smooth function their distance is ``h |f''|`` and shrinks with h; at a kink it stays.
    For functions that cannot be watched, such as a pair of NumPy functions.

    Args:
        difference: f(x + a) - f(x + b), given a and b.
        step: the largest h.
        noise: what a difference of two values is uncertain by.
        times: how often h is quartered.

    Examples:
        >>> one_sided_gap(lambda a, b: abs(a) - abs(b), 1e-3, 1e-16)
        True
        >>> one_sided_gap(lambda a, b: a * a - b * b, 1e-3, 1e-16)
        False
    """
    gaps = []
    for power in range(times + 1):
        h = step / 4**power
        gap = abs(difference(h, 0.0) - difference(0.0, -h)) / h
        if gap <= 4 * noise / h:
            return False
        gaps.append(gap)
    return bool(gaps[-1] > 0.5 * gaps[0])
