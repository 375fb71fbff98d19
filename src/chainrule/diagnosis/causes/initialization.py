"""Initialization: the weights before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterator

from chainrule.diagnosis.case import CERTAIN, SYMPTOM, TRIED, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.rebuilding import Reinitialize
from chainrule.diagnosis.source import Edit

_INIT = ("init", "fill_", "normal_", "uniform_", "zeros_", "constant_", "std", "zero_", "mul_",
         "weight.data", "ones_", "xavier", "kaiming")  # fmt: skip
_CALLS = ("constant_", "zeros_", "ones_", "normal_", "uniform_", "fill_", "zero_", "mul_",
          "trunc_normal_", "copy_")  # fmt: skip

LARGE = 5.0  # times the size of PyTorch's own initialization: it speaks for a fault


def init_line(case: Case) -> Place | None:
    """A line that sets weights."""
    for source in case.sources():
        calls = source.calls(*_CALLS)
        if calls:
            return Place(source.file, calls[0].lineno)
        for number, line in enumerate(source.text.splitlines(), 1):
            bare = line.split("#")[0]
            if any(word in bare for word in _INIT[:1]) and "nn.init" in bare:
                return Place(source.file, number)
            if ".data" in bare and "=" in bare:
                return Place(source.file, number)
    return None


def _without(case: Case) -> tuple[Edit, ...]:
    """Statements that set weights left out, so that PyTorch's own stay."""
    from chainrule.diagnosis.repair import remove_call_statements

    return remove_call_statements(case, _CALLS)


def _weights(case: Case) -> list[tuple[str, float]]:
    return [
        (item.path or item.kind, item.scale) for item in case.traits
        if item.shape and math.isfinite(item.scale)
    ]  # fmt: skip


def _tries(
    case: Case, code: str, weight: int, meaning: str, remedy: str, evidence: dict[str, float]
) -> Iterator[Hypothesis]:
    for way in ("default", "he"):
        yield Hypothesis(
            code, Reinitialize(way), weight, meaning, remedy, evidence, init_line(case),
            _without(case),
        )  # fmt: skip


@cause("symmetric-initialization", "units that begin alike stay alike")
def symmetric(case: Case) -> Iterator[Hypothesis]:
    constant = [
        item for item in case.traits if item.constant and item.shape and math.prod(item.shape) > 1
    ]
    found = case.found("symmetric-initialization")
    several = len([item for item in case.traits if item.shape]) > 1
    if not several or not (constant or found):
        return
    hidden = constant[:-1] if len(constant) > 1 else constant
    if not found and not hidden:
        return
    names = ", ".join(item.path for item in constant[:3])
    meaning = found.meaning if found else f"all weights of {names} are the same number"
    yield from _tries(
        case, "symmetric-initialization", CERTAIN if found else SYMPTOM, meaning,
        "draw the weights at random", {"layers": len(constant)},
    )  # fmt: skip


@cause("initialization-too-small", "signals vanish on their way through the layers")
def too_small(case: Case) -> Iterator[Hypothesis]:
    weights = [(name, scale) for name, scale in _weights(case) if scale > 0]
    if not weights:
        return
    name, scale = min(weights, key=lambda item: item[1])
    if scale > 0.3:
        return
    yield from _tries(
        case, "initialization-too-small", SYMPTOM if scale < 0.2 else TRIED,
        f"the weights of {name} are {scale:.2g} times the size of PyTorch's own initialization",
        "PyTorch's own initialization, or a variance of 2 / fan-in", {"scale": scale},
    )  # fmt: skip


def largest_scale(case: Case) -> float:
    """Size of the largest weights of a layer in units of PyTorch's own initialization."""
    return max((scale for _, scale in _weights(case)), default=0.0)


@cause("initialization-too-large", "signals grow from layer to layer, or units are saturated")
def too_large(case: Case) -> Iterator[Hypothesis]:
    weights = _weights(case)
    if not weights:
        return
    name, scale = max(weights, key=lambda item: item[1])
    if scale < 3.5:
        return
    yield from _tries(
        case, "initialization-too-large", SYMPTOM if scale > LARGE else TRIED,
        f"the weights of {name} are {scale:.2g} times the size of PyTorch's own initialization",
        "PyTorch's own initialization, or a variance of 2 / fan-in", {"scale": scale},
    )  # fmt: skip
