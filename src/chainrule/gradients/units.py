"""Units: which units of a layer are identical and stay so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from chainrule.gradients.flow_answer import SymmetricUnits
from chainrule.nn.weighted import Convolution, weight_groups

_COLUMNS = 8
_SAME = 1e-5  # of a gradient's norm: sums of the same numbers in another order


def symmetric_units(
    layers: Iterable[tuple[str, nn.Module]], gradients: Mapping[Tensor, Tensor]
) -> tuple[SymmetricUnits, ...]:
    """Layers with units whose incoming weights, biases and gradients are identical.

    Weights must be equal to the bit, gradients to 1e-5 of the norm of the larger. Such units
    compute the same and are updated the same: together they are one unit.

    Args:
        layers: name and module; linear layers and convolutions are looked at.
        gradients: of the loss, by parameter.

    Source: I. Goodfellow, Y. Bengio and A. Courville, Deep Learning, 2016, 8.4.

    Examples:
        >>> layer = torch.nn.Linear(2, 3)
        >>> for item in layer.parameters():
        ...     item.data.zero_()[1] += 1
        >>> flat = {item: torch.zeros_like(item) for item in layer.parameters()}
        >>> symmetric_units([("fc", layer)], flat)[0].groups
        ((0, 2),)
    """
    found = []
    for name, layer in layers:
        if isinstance(layer, nn.Linear | Convolution) and layer.weight in gradients:
            weights, slopes = _rows(layer, None), _rows(layer, gradients)
            groups = _groups(weights, slopes)
            if groups:
                found.append(SymmetricUnits(name, len(weights), groups))
    return tuple(found)


def _rows(layer: nn.Linear | Convolution, gradients: Mapping[Tensor, Tensor] | None) -> Tensor:
    """(units, numbers): everything that leads into each unit, or its gradient."""
    if gradients is None:
        weight, bias = layer.weight.detach(), layer.bias
    else:
        weight = gradients[layer.weight]
        bias = None if layer.bias is None else gradients.get(layer.bias)
    parts = [part.flatten(1) for part in weight_groups(layer, weight)]
    rows = torch.cat(parts)
    return rows if bias is None else torch.cat([rows, bias.detach()[:, None]], 1)


def _groups(weights: Tensor, slopes: Tensor) -> tuple[tuple[int, ...], ...]:
    beginnings = weights[:, :_COLUMNS].contiguous()  # whole rows would take long to sort
    _, kinds, counts = torch.unique(beginnings, dim=0, return_inverse=True, return_counts=True)
    found: list[tuple[int, ...]] = []
    for kind in (counts > 1).nonzero().flatten().tolist():
        found += _identical((kinds == kind).nonzero().flatten(), weights, slopes)
    return tuple(sorted(found))


def _identical(members: Tensor, weights: Tensor, slopes: Tensor) -> list[tuple[int, ...]]:
    found = []
    while len(members) > 1:
        rows = slopes[members].double()
        size = rows.norm(dim=1).maximum(rows[0].norm())
        same = (rows - rows[0]).norm(dim=1) <= _SAME * size
        same &= (weights[members] == weights[members[0]]).all(1)
        same[0] = True
        if int(same.sum()) > 1:
            found.append(tuple(members[same].tolist()))
        members = members[~same]
    return found
