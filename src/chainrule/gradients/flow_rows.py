"""Flow rows: one layer's signals as a row of the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from chainrule.analysis.tracer import same_random_state
from chainrule.gradients.activations import elementwise
from chainrule.gradients.flow_answer import LayerFlow, SingularValues
from chainrule.gradients.jacobian import LayerFunction, singular_values
from chainrule.gradients.signals import Signal
from chainrule.gradients.update import Step

_SAME_EVERYWHERE = (nn.Linear, _ConvNd, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
                    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)  # fmt: skip
_WITHOUT = (nn.RNNBase, nn.RNNCellBase)  # their matrices are told apart


def row_of(
    signal: Signal, examples: int, gradients: Mapping[Tensor, Tensor], step: Step
) -> LayerFlow:
    """The row of one layer.

    Args:
        signal: what was seen of it.
        examples: inputs looked at.
        gradients: of the mean loss, by parameter.
        step: one step of the update rule.
    """
    moments = signal.moments
    norms = signal.gradient_norms(examples)
    own = [] if signal.module is None else list(signal.module.parameters())
    parameter_norm = _norm(own)
    change = _norm([step.changes[item] for item in own if item in step.changes])
    return LayerFlow(
        name=signal.name,
        operation=signal.operation,
        shape=signal.shape,
        calls=signal.calls,
        mean=finite(moments.mean) if moments.count else None,
        std=finite(moments.std),
        smallest=finite(moments.smallest),
        largest=finite(moments.largest),
        zero=moments.zero,
        saturated=moments.saturated,
        units=None if moments.on is None else len(moments.on),
        dead=moments.dead,
        not_finite=moments.not_finite,
        gradient_norm=finite(math.hypot(*norms)) if norms else None,
        gradient_by_call=tuple(map(finite, norms)) if len(norms) > 1 else (),
        parameter_norm=parameter_norm,
        parameter_gradient=_norm([gradients[item] for item in own if item in gradients]),
        update_ratio=change / parameter_norm if change is not None and parameter_norm else None,
        jacobian=_jacobian(signal),
        histogram=moments.histogram(),
    )


def _norm(tensors: Sequence[Tensor]) -> float | None:
    if not tensors:
        return None
    return finite(math.hypot(*(float(item.detach().double().norm()) for item in tensors)))


def finite(value: float) -> float | None:
    """The number, None for NaN and infinity, which JSON does not know."""
    return value if math.isfinite(value) else None


def _jacobian(signal: Signal) -> SingularValues | None:
    inputs, function, layer = signal.inputs, signal.function, signal.module
    if inputs is None or function is None or not inputs.numel() or isinstance(layer, _WITHOUT):
        return None
    if not bool(inputs.isfinite().all()) or signal.moments.not_finite:
        return None
    diagonal = layer is None or elementwise(layer)
    if isinstance(layer, _BatchNorm):
        function, inputs, diagonal = _normalized(layer, inputs)
    elif isinstance(layer, _SAME_EVERYWHERE):
        inputs = inputs[:1]
    try:
        with same_random_state():
            torch.manual_seed(0)
            return singular_values(function, inputs, elementwise=diagonal)
    except (RuntimeError, NotImplementedError, IndexError):  # no second derivative, not by example
        return None


def _normalized(layer: _BatchNorm, inputs: Tensor) -> tuple[LayerFunction, Tensor, bool]:
    """One example's share, the others of its minibatch held; a diagonal where statistics stand."""
    if not layer.training and layer.running_mean is not None:
        return layer.forward, inputs[:1], True
    others = inputs[1:]

    def one(example: Tensor) -> Tensor:
        whole = torch.cat([example, others])
        made = F.batch_norm(whole, None, None, layer.weight, layer.bias, True, 0.0, layer.eps)
        return made[:1]

    return one, inputs[:1], False
