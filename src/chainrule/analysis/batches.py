"""Batches: the largest minibatch that fits into a memory."""

from __future__ import annotations

import re
from collections.abc import Callable

from chainrule.analysis.memory import memory_use
from chainrule.analysis.traced import Subject, Traced, graph_of
from chainrule.errors import ShapeError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip
_MOST = 2**24


def parse_bytes(text: int | str) -> int:
    """Bytes from a number or from "24GB" (10^9) or "24GiB" (2^30).

    Raises:
        ShapeError: it is neither.

    Examples:
        >>> parse_bytes("24GB"), parse_bytes("1.5 MiB")
        (24000000000, 1572864)
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?i?b?)\s*", str(text), re.IGNORECASE)
    unit = found[2].upper() if found else ""
    unit = unit if unit in _UNITS else f"{unit}B"
    try:
        size = int(float(found[1]) * _UNITS[unit]) if found else 0
    except (ValueError, KeyError):
        size = 0
    if size < 1:
        raise ShapeError(f"memory got '{text}', wants bytes such as 24GB, 24GiB or 500MB")
    return size


def largest_batches(subject: Subject, found: Traced, budget: int) -> dict[str, int]:
    """By update rule, and for inference, the largest minibatch whose peak fits into ``budget``.

    Each is checked by a trace with that minibatch and with one example more; 0 when not even
    one example fits.
    """
    if found.inputs.fixed:
        raise ShapeError("memory with a tensor as input: give the shape of one example instead")
    module = subject.module if found.evaluation.way == "meta" else subject.with_values()
    seen: dict[int, dict[str, int]] = {}

    def needs(batch: int) -> dict[str, int]:
        if batch not in seen:
            way = found.evaluation.way
            graphs = [
                graph_of(module, found.inputs, way, training=mode, batch=batch)[0]
                for mode in (False, True)
            ]
            use = memory_use(graphs[0], graphs[1], batch)
            fixed = use.parameters + use.buffers
            seen[batch] = {"inference": fixed + use.inference, **use.training}
        return seen[batch]

    return {
        what: _largest(lambda batch, what=what: needs(batch)[what], budget)  # type: ignore[misc]
        for what in needs(1)
    }


def _largest(bytes_of: Callable[[int], int], budget: int) -> int:
    """Largest batch within the budget: a straight line through two points, then steps."""
    if bytes_of(1) > budget:
        return 0
    slope = max(bytes_of(2) - bytes_of(1), 1)
    low = min(max(1, 1 + (budget - bytes_of(1)) // slope), _MOST)
    while low > 1 and bytes_of(low) > budget:
        low = max(1, min(low - 1, low * budget // bytes_of(low)))
    while low < _MOST and bytes_of(low + 1) <= budget:
        low += 1
    return low
