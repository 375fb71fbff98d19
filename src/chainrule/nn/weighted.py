"""The layers that have a weight per input and unit, and how their weights are laid out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from chainrule.errors import NetworkError

Convolution = (
    nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
)
WeightedLayer = nn.Linear | Convolution


def weighted_layers(module: nn.Module) -> Iterator[tuple[str, WeightedLayer]]:
    """Name and layer of each linear layer and convolution in ``module``, subclasses included.

    Raises:
        NetworkError: a layer's weight is not a parameter that can be set (it is lazy, or
            computed by a parametrization or by pruning).

    Examples:
        >>> [name for name, _ in weighted_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))]
        ['0']
    """
    for name, layer in module.named_modules():
        if isinstance(layer, WeightedLayer):
            _check_settable(name, layer)
            yield name, layer


def weight_groups(layer: WeightedLayer, weight: Tensor | None = None) -> list[Tensor]:
    """Views of a layer's weight, one per group of channels, the unit's axis first.

    ``weight`` stands in for the layer's own, such as its gradient.

    In each view (units, inputs, *kernel) the entry f holds the incoming weights of unit f;
    a transposed convolution stores them with the first two axes swapped. Groups are separate
    linear maps, so that fan-in and orthogonality are meant per group.

    Examples:
        >>> [tuple(view.shape) for view in weight_groups(nn.ConvTranspose2d(4, 6, 3, groups=2))]
        [(3, 2, 3, 3), (3, 2, 3, 3)]
    """
    weight = layer.weight if weight is None else weight
    if isinstance(layer, nn.Linear):
        return [weight]
    parts = weight.chunk(layer.groups)
    return [part.transpose(0, 1) for part in parts] if layer.transposed else list(parts)


def _check_settable(name: str, layer: WeightedLayer) -> None:
    where = f"layer {name or type(layer).__name__!r}"
    if is_lazy(layer.weight):
        raise NetworkError(
            f"{where} is lazy and has no weight yet; run the network once on a minibatch first"
        )
    if not isinstance(layer.weight, nn.Parameter):
        raise NetworkError(
            f"{where} computes its weight (parametrization or pruning), so it cannot be set; "
            "do this before the weight is parametrized"
        )


def storage_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype to compute statistics of ``tensor`` in: float64 stays, others use float32.

    Examples:
        >>> storage_dtype(torch.zeros(1, dtype=torch.bfloat16))
        torch.float32
    """
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
