"""Symptoms: what of a flow is not as it should be, against the same network after He or Xavier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from chainrule.finding import Finding
from chainrule.gradients.flow_answer import LayerFlow, SymmetricUnits
from chainrule.gradients.signals import Signal

_FACTOR = 1000.0  # how far a signal may lie from its reference, or one end from the other
_HALF = 0.5


@dataclass(frozen=True)
class Expected:
    """A layer of the reference: the same network, initialized by He or Xavier, on the same inputs.

    Attributes:
        incoming: standard deviation of what reaches it; None for layers without a matrix.
        saturated: share of saturated activations.
        dead: dead units.
    """

    incoming: float | None
    saturated: float | None
    dead: int | None


@dataclass(frozen=True)
class Reference:
    """The same network on the same inputs, initialized anew.

    Attributes:
        name: by whom: "He" or "Xavier".
        layers: by name; empty where the network cannot be initialized.
    """

    name: str
    layers: Mapping[str, Expected]


def symptoms(
    rows: tuple[LayerFlow, ...],
    signals: Mapping[str, Signal],
    usual: Reference,
    symmetric: tuple[SymmetricUnits, ...],
    examples: int,
) -> tuple[Finding, ...]:
    """The findings of a flow, the gravest first.

    Args:
        rows: layers in the order of the forward pass.
        signals: what was seen of each layer.
        usual: the reference.
        symmetric: layers with identical units.
        examples: inputs looked at.
    """
    broken = _not_finite(rows)
    if broken:
        return (broken,)
    found = [
        _symmetric(symmetric),
        _dead(rows, usual, examples),
        _saturated(rows, usual),
        _strength(signals, usual),
        _depth(rows, signals),
    ]
    return tuple(item for item in found if item is not None)


def _not_finite(rows: tuple[LayerFlow, ...]) -> Finding | None:
    row = next((item for item in rows if item.not_finite), None)
    if row is None:
        return None
    return Finding(
        "numerical-overflow",
        row.name,
        {"not_finite_activations": row.not_finite},
        f"{row.name} is the first layer with activations that are NaN or infinite "
        f"({row.not_finite:,} of them); nothing after it can be judged",
        "look at its weights and at what reaches it; lower the learning rate",
    )


def _strength(signals: Mapping[str, Signal], usual: Reference) -> Finding | None:
    """The signal that reaches the layers with weights, against the reference."""
    ratios = {
        name: signal.incoming.std / reference
        for name, signal in signals.items()
        if signal.incoming is not None
        and (reference := usual.layers[name].incoming if name in usual.layers else None)
    }
    place = next((name for name in ratios if abs(_log(ratios[name])) > math.log10(_FACTOR)), None)
    if place is None:
        return None
    ratio = ratios[place]
    small = ratio < 1
    found = signals[place].incoming
    std = found.std if found is not None else math.nan
    return Finding(
        "initialization-too-small" if small else "initialization-too-large",
        place,
        {"std": std, "expected_std": std / ratio if ratio else math.nan, "ratio": ratio},
        f"what reaches {place} has standard deviation {std:.2g}, {ratio:.2g} times what the same "
        f"network gets with {usual.name} initialization",
        "initialize by He et al. (kaiming) for ReLU, by Glorot (xavier) for tanh, or normalize",
    )


def _log(ratio: float) -> float:
    return math.log10(min(max(ratio, 1e-300), 1e300))


def _saturated(rows: tuple[LayerFlow, ...], usual: Reference) -> Finding | None:
    expected = usual.layers
    hit = {
        row.name: row.saturated
        for row in rows
        if row.saturated is not None and row.name in expected and row.saturated > _HALF
    }
    if not hit:
        return None
    place = max(hit, key=lambda name: hit[name])
    share = expected[place].saturated or 0.0
    return Finding(
        "saturated-activations",
        place,
        {"share": hit[place], "expected_share": share, "layers": len(hit)},
        f"{100 * hit[place]:.0f} % of the activations of {place} are saturated (slope below 5 % "
        f"of its maximum), {100 * share:.0f} % with {usual.name} initialization; so are "
        f"{_layers(len(hit))} for more than half",
        "normalize the inputs: new weights alone do not help"
        if share > _HALF
        else "smaller weights, such as Xavier initialization gives",
    )


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def _dead(rows: tuple[LayerFlow, ...], usual: Reference, examples: int) -> Finding | None:
    expected = usual.layers
    hit = [row for row in rows if row.name in expected and _too_dead(row, expected[row.name])]
    if not hit:
        return None
    row = max(hit, key=lambda item: (item.dead or 0) / (item.units or 1))
    others = expected[row.name].dead or 0
    return Finding(
        "dead-relu",
        row.name,
        {"dead": row.dead, "units": row.units, "expected_dead": others, "inputs": examples,
         "layers": len(hit)},
        f"{row.dead} of {row.units} units of {row.name} are off for all {examples:,} inputs, "
        f"{others} with {usual.name} initialization: no gradient reaches their weights",
        "a smaller learning rate, biases at 0, or a leaky ReLU",
    )  # fmt: skip


def _too_dead(row: LayerFlow, reference: Expected) -> bool:
    """More than half of the units and three standard errors above the reference, or all."""
    if row.dead is None or not row.units:
        return False
    usual = reference.dead or 0
    if row.dead == row.units:
        return usual < row.units
    share = (usual + 1) / (row.units + 2)
    error = 3 * math.sqrt(row.units * share * (1 - share))
    return row.dead - usual > max(_HALF * row.units, error)


def _depth(rows: tuple[LayerFlow, ...], signals: Mapping[str, Signal]) -> Finding | None:
    """The norm of the gradient at the first layer with weights against that at the last."""
    ends = [
        row for row in rows
        if signals[row.name].incoming is not None and row.gradient_norm is not None
    ]  # fmt: skip
    if len(ends) < 2 or not ends[-1].gradient_norm or ends[0].gradient_norm is None:
        return None
    first, last, steps = ends[0], ends[-1], len(ends) - 1
    norms = (ends[0].gradient_norm, ends[-1].gradient_norm)
    power = _log(norms[0] / norms[1])
    factor = 10 ** (power / steps) if norms[0] else 0.0
    if abs(power) <= math.log10(_FACTOR):
        return None
    up = power > 0
    return Finding(
        "exploding-gradients" if up else "vanishing-gradients",
        first.name,
        {"first": norms[0], "last": norms[1], "factor_per_layer": factor,
         "layers": len(ends)},
        f"the norm of the gradient {'rises' if up else 'falls'} from {norms[1]:.2g} at {last.name} "
        f"to {norms[0]:.2g} at {first.name}: a factor of {factor:.2g} for each of "
        f"{_layers(steps)}, where 1 keeps it",
        "smaller weights or clip the norm" if up
        else "ReLU with He initialization, batch normalization, or a residual path",
    )  # fmt: skip


def _symmetric(symmetric: tuple[SymmetricUnits, ...]) -> Finding | None:
    if not symmetric:
        return None

    def share(item: SymmetricUnits) -> float:
        return max(map(len, item.groups)) / item.units

    worst = max(symmetric, key=share)
    size = max(map(len, worst.groups))
    return Finding(
        "symmetric-initialization",
        worst.layer,
        {"identical_units": size, "units": worst.units, "groups": len(worst.groups),
         "layers": len(symmetric)},
        f"{size} of {worst.units} units of {worst.layer} have identical weights and gradients and "
        f"stay identical ({_layers(len(symmetric))} with such units): together they are one",
        "draw the weights at random",
    )  # fmt: skip
