"""Reference: the same network as it would be after He or Xavier initialization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.errors import ChainruleError
from chainrule.gradients.activations import ACTIVATIONS
from chainrule.gradients.signals import Watch
from chainrule.gradients.symptoms import Expected, Reference
from chainrule.nn.initializers import initialize

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
_NAMES = {"kaiming": "He", "xavier": "Xavier"}


def reference(twin: nn.Module, inputs: Tensor, batch: int) -> Reference:
    """What each layer would see after He initialization, or Xavier where nothing rectifies.

    Normalization starts anew too. Empty where the network
    cannot be initialized (parametrized or scripted layers).

    Args:
        twin: a copy to throw away.
        inputs: (N, ...).
        batch: examples per minibatch.

    Examples:
        >>> net = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 2))
        >>> found = reference(net, torch.randn(64, 100), 64)
        >>> found.name, 0.6 < found.layers["2"].incoming < 1.0
        ('He', True)
    """
    first = Watch(twin, jacobians=False)
    with torch.no_grad(), first:
        first.begin(1)
        twin(inputs[:batch].clone())
    rectified = any(
        signal.moments.activation is not None and signal.moments.activation.name in _LIKE_RELU
        for signal in first.signals.values()
    )
    name = "kaiming" if rectified else "xavier"
    try:
        initialize(twin, name)
    except ChainruleError:
        return Reference(_NAMES[name], {})
    return Reference(_NAMES[name], _expected(_watched(twin, first, inputs, batch)))


_LIKE_RELU = {
    name for name in ACTIVATIONS
    if name not in ("sigmoid", "tanh", "softsign", "hardsigmoid", "hardtanh", "tanhshrink")
}  # fmt: skip


def _watched(twin: nn.Module, watch: Watch, inputs: Tensor, batch: int) -> Watch:
    for layer in twin.modules():
        if isinstance(layer, _NORMS):
            layer.reset_parameters()  # and running statistics
    watch.signals.clear()
    with torch.no_grad(), watch:
        for chunk in torch.split(inputs, batch):
            watch.begin(len(chunk))
            twin(chunk.clone())
    return watch


def _expected(watch: Watch) -> dict[str, Expected]:
    return {
        name: Expected(
            None if signal.incoming is None else signal.incoming.std,
            signal.moments.saturated,
            signal.moments.dead,
        )
        for name, signal in watch.signals.items()
    }
