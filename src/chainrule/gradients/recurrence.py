"""Recurrence: matrices that are applied again at every time step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from chainrule.finding import Finding
from chainrule.gradients.flow_answer import RecurrentMatrix
from chainrule.gradients.signals import Signal

_GATES = {
    "LSTM": ("input", "forget", "cell", "output"),
    "GRU": ("reset", "update", "new"),
    "RNN": ("",),
}
_FACTOR = 10.0  # over the whole sequence; less makes no difference to training


def recurrent_matrices(signals: Iterable[Signal]) -> tuple[RecurrentMatrix, ...]:
    """Of RNN, LSTM and GRU and their cells, and of square linear layers that are used again."""
    found: list[RecurrentMatrix] = []
    for signal in signals:
        if isinstance(signal.module, nn.RNNBase | nn.RNNCellBase):
            found += _of_module(signal, signal.module)
        elif _reused(signal) and isinstance(signal.module, nn.Linear):
            name = f"{signal.name}.weight"
            weight = signal.module.weight.detach()
            row = recurrent_matrix(weight, name, signal.name, signal.calls)
            found.append(replace(row, measured=_measured(signal)))
    return tuple(found)


def _reused(signal: Signal) -> bool:
    layer = signal.module
    square = isinstance(layer, nn.Linear) and layer.in_features == layer.out_features
    return square and signal.calls > 1


def _of_module(signal: Signal, layer: nn.Module) -> list[RecurrentMatrix]:
    kind = next((name for name in _GATES if type(layer).__name__.startswith(name)), "RNN")
    found = []
    for name, weight in layer.named_parameters(recurse=False):
        if name.startswith("weight_hh"):
            for gate, part in zip(_GATES[kind], weight.detach().chunk(len(_GATES[kind])),
                                  strict=True):  # fmt: skip
                title = f"{signal.name}.{name}" + (f"[{gate}]" if gate else "")
                steps = _steps(signal, layer)
                if part.shape[0] == part.shape[1]:  # not where the state is projected
                    row = recurrent_matrix(part, title, signal.name, steps, kind != "RNN")
                    found.append(replace(row, measured=_measured(signal)))
    return found


def _steps(signal: Signal, layer: nn.Module) -> int | None:
    if isinstance(layer, nn.RNNCellBase):
        return signal.calls
    return signal.shape[0] if getattr(layer, "batch_first", False) else signal.batch


def _measured(signal: Signal) -> float | None:
    """By how much the gradient's norm grows per call, from the last back to the first."""
    squares = signal.gradients
    if len(squares) < 2 or not squares[-1] or not all(map(math.isfinite, squares)):
        return None
    return math.pow(squares[0] / squares[-1], 0.5 / (len(squares) - 1))


def recurrent_matrix(
    weight: Tensor, name: str = "", layer: str = "", steps: int | None = None, gated: bool = False
) -> RecurrentMatrix:
    """Singular values and spectral radius of a recurrent matrix.

    Args:
        weight: (units, units), W_hh of ``h_t = W_hh f(h_{t-1}) + ...``.
        name: of the parameter.
        layer: it belongs to.
        steps: how often it is applied.
        gated: whether gates open another way.

    Source: R. Pascanu, T. Mikolov and Y. Bengio, ICML 2013: a largest singular value below 1 is
    enough for gradients to vanish, above 1 is needed for them to explode; in the long run the
    spectral radius decides.

    Examples:
        >>> found = recurrent_matrix(torch.diag(torch.tensor([2.0, 0.5])))
        >>> found.largest, found.smallest, found.spectral_radius
        (2.0, 0.5, 2.0)
    """
    matrix = weight.double()
    if not bool(matrix.isfinite().all()):
        return RecurrentMatrix(name, layer, math.nan, math.nan, math.nan, steps, gated)
    values = torch.linalg.svdvals(matrix)
    radius = float(torch.linalg.eigvals(matrix).abs().max())
    return RecurrentMatrix(name, layer, float(values[0]), float(values[-1]), radius, steps, gated)


def recurrence_findings(matrices: Iterable[RecurrentMatrix]) -> list[Finding]:
    """Exploding above 1, vanishing below 1, where it adds up to a factor of ten over the steps."""
    return [item for matrix in matrices if (item := _finding(matrix)) is not None]


def _finding(matrix: RecurrentMatrix) -> Finding | None:
    radius, steps = matrix.spectral_radius, matrix.steps or 1
    factor = radius if matrix.measured is None else matrix.measured
    if matrix.gated or not math.isfinite(factor):
        return None
    power = steps * math.log10(max(factor, 1e-300))
    if abs(power) <= math.log10(_FACTOR):
        return None
    up = power > 0
    evidence = {
        "spectral_radius": radius, "largest_singular_value": matrix.largest, "steps": steps,
        "factor_per_step": factor, "log10_factor": power,
    }  # fmt: skip
    remedy = "initialize the recurrent matrix orthogonal, or "
    remedy += "clip the gradient's norm" if up else "use an LSTM or GRU, whose cell keeps it"
    code = "exploding-gradients" if up else "vanishing-gradients"
    return Finding(code, matrix.name, evidence, _meaning(matrix, factor, power), remedy)


def _meaning(matrix: RecurrentMatrix, factor: float, power: float) -> str:
    side = "above" if power > 0 else "below"
    how = "by its spectral radius" if matrix.measured is None else "as measured"
    numbers = f"largest singular value {matrix.largest:.3g}"
    if matrix.measured is not None:
        numbers = f"spectral radius {matrix.spectral_radius:.3g}, {numbers}"
    return (
        f"each step back through the recurrent matrix multiplies the gradient by {factor:.3g} "
        f"({how}), {side} 1: 10^{power:.1f} over {matrix.steps or 1} steps ({numbers})"
    )
