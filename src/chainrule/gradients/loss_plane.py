"""Loss plane: the loss along the two eigenvectors with the largest eigenvalues."""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule.gradients.curvature_answer import Eigenvalue, LossPlane
from chainrule.gradients.lanczos import Spectrum
from chainrule.gradients.surface import Data, Surface, Tangent


def loss_plane(
    surface: Surface, data: Data, tangent: Tangent, spectrum: Spectrum, grid: int
) -> tuple[LossPlane | None, NDArray[np.float64]]:
    """The plane, and its two directions (2, n), each pointing where the loss falls.

    Args:
        surface: the loss.
        data: inputs and targets.
        tangent: of the surface at its weights.
        spectrum: of the Hessian there.
        grid: losses along each side; 0 for no plane.
    """
    point = surface.point
    if grid == 0 or len(spectrum.values) < 2:
        return None, np.zeros((0, len(point)))
    places = [len(spectrum.values) - 1, len(spectrum.values) - 2]
    vectors = [_downhill(spectrum.vector(place), tangent) for place in places]
    axes = [
        Eigenvalue(float(spectrum.values[place]), float(spectrum.bounds[place])) for place in places
    ]
    lowest = [
        _minimum(axis.value, axes[0].value, tangent, v)
        for axis, v in zip(axes, vectors, strict=True)
    ]
    room = max(float(point.norm()), 1.0)
    steps = [
        _steps(axis.value, tangent.loss, low, room, grid)
        for axis, low in zip(axes, lowest, strict=True)
    ]
    losses = tuple(
        tuple(surface.value(point + a * vectors[0] + b * vectors[1], data) for b in steps[1])
        for a in steps[0]
    )
    plane = LossPlane((axes[0], axes[1]), (steps[0], steps[1]), losses, (lowest[0], lowest[1]))
    return plane, torch.stack(vectors).double().numpy()


def _downhill(vector: Tensor, tangent: Tangent) -> Tensor:
    return -vector if float(tangent.gradient.detach() @ vector) > 0 else vector


def _minimum(value: float, largest: float, tangent: Tangent, vector: Tensor) -> float | None:
    if value <= 1e-9 * abs(largest):
        return None
    return -float(tangent.gradient.detach() @ vector) / value


def _steps(
    value: float, loss: float, minimum: float | None, room: float, grid: int
) -> tuple[float, ...]:
    """Far enough to see the minimum and the loss doubled, no further than the weights are long."""
    doubled = sqrt(2 * abs(loss) / abs(value)) if value else room
    reach = max(1.5 * (minimum or 0.0), doubled if isfinite(doubled) else room)
    reach = min(reach, room) or room
    return tuple(torch.linspace(-reach, reach, grid, dtype=torch.float64).tolist())
