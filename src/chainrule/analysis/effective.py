"""Effective receptive field: how much each input pixel really matters to a unit.

The theoretical field says which pixels can matter. The effective one is measured: the absolute
gradient of the layer's central unit, averaged over images, falls off like a Gaussian and is
often much smaller (W. Luo, Y. Li, R. Urtasun and R. Zemel, Understanding the effective
receptive field in deep convolutional neural networks, NIPS 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chainrule.analysis.describe import InputLike, Network
from chainrule.analysis.field import Field
from chainrule.analysis.inputs import read_inputs, single_shape
from chainrule.analysis.layers import Layers
from chainrule.analysis.receptive_field import ReceptiveField
from chainrule.analysis.traced import subject_of, traced
from chainrule.analysis.tracer import same_random_state
from chainrule.analysis.twin import with_weights
from chainrule.analysis.walk import Fields
from chainrule.answer import Answer
from chainrule.errors import ShapeError, suggestion

# Luo et al. count the pixels above what two standard deviations leave outside
_THRESHOLD = 1 - 0.9545


@dataclass(frozen=True)
class EffectiveField(Answer):
    """What was measured.

    Attributes:
        network: how the network was named.
        layer: the layer whose central unit was asked.
        unit: index of the unit along the spatial axes.
        theoretical: the receptive field by rule.
        box: (first, last) input position that the unit can see, per axis.
        size: side of a square of as many pixels as matter more than 4.55 % of the most
            important one.
        share: ``size`` squared over the theoretical field's area, clipped to the input.
        sigma: standard deviation of the importance along each axis, pixels.
        images: how many images were averaged.
        importance: (H, W) mean absolute gradient, its largest value 1.
        image: (H, W, C) an image to lay the fields over, values in [0, 1].
    """

    network: str
    layer: str
    unit: tuple[int, ...]
    theoretical: ReceptiveField
    box: tuple[tuple[int, int], ...]
    size: float
    share: float
    sigma: tuple[float, ...]
    images: int
    importance: NDArray[np.float64]
    image: NDArray[np.float64]


def effective_field(
    network: Network,
    input: InputLike = None,  # noqa: A002 - the notation's own word
    *,
    layer: str = "",
    images: Tensor | None = None,
    count: int = 32,
    name: str = "",
) -> EffectiveField:
    """The effective receptive field of a layer's central unit, next to the theoretical one.

    The gradient of the unit, summed over channels, with respect to each pixel is averaged in
    absolute value over images and channels. Modes, weights, gradients and random state of the
    network are left as they are: a copy is run.

    Args:
        network: a module with its weights, or what ``describe`` takes.
        input: shape of one image, (C, H, W); left out, that of ``images`` or of the network.
        layer: name of the layer; the last one with a local field by default.
        images: (N, C, H, W); normal noise by default, which is what Luo et al. use.
        count: how many images of noise.
        name: how to call the network.

    Raises:
        ShapeError: no such layer, or it has no spatial axes.

    Source: Luo et al. 2016.

    Examples:
        >>> found = effective_field("INPUT 16x16x1, [CONV3-4] x 4", count=4)
        >>> found.theoretical.size, found.size <= 9
        ((9, 9), True)
    """
    if images is not None and input is None:
        input = tuple(images.shape[1:])  # noqa: A001
    subject = subject_of(network, single_shape(input), name)
    inputs = read_inputs(input, subject.module, 1)
    found = traced(subject, inputs)
    fields = Fields(found.evaluation)
    layers = Layers(found, fields)
    row_name, theoretical, field = _chosen(layers, layer, len(fields.axes))
    module = subject.with_values()
    with same_random_state():
        batch = _images(images, inputs.shapes[0], count, module)
        gradient, unit = _gradient(module, row_name, batch)
    importance = gradient / max(float(gradient.max()), 1e-300)
    box = tuple(_box(field, axis, unit, extent) for axis, extent in enumerate(fields.extents))
    area = np.prod([high - low + 1 for low, high in box])
    size = sqrt(float((importance > _THRESHOLD).sum()))
    return EffectiveField(
        subject.name,
        row_name,
        unit,
        theoretical,
        box,
        size,
        size**2 / float(area),
        tuple(_deviation(importance, axis) for axis in range(importance.ndim)),
        len(batch),
        importance,
        _picture(batch[0]),
    )


def _chosen(layers: Layers, name: str, axes: int) -> tuple[str, ReceptiveField, Field]:
    """The layer, its receptive field and the fields of all its units."""
    if axes != 2:
        raise ShapeError(f"an effective field wants an image (C, H, W); this input has {axes} axes")
    rows = {row.name: row for row in layers.rows if row.call is not None}
    if name and name not in rows:
        raise ShapeError(
            f"layer got '{name}'{suggestion(name, rows)}; wants one of {', '.join(rows)}"
        )
    for row in reversed(list(rows.values())):
        field, summary = layers.field(row), layers.field_summary(row)
        spatial = field is not None and len(field.shape) == 4 and min(field.shape[2:]) > 0
        chosen = row.name == name if name else bool(summary and summary.size and spatial)
        if chosen:
            if field is None or summary is None or not spatial:
                raise ShapeError(f"layer '{name}' has no spatial axes, so no central unit")
            return row.name, summary, field
    raise ShapeError("no layer of the network has a local receptive field on an image")


def _images(images: Tensor | None, shape: tuple[int, ...], count: int, module: nn.Module) -> Tensor:
    kinds = (item.dtype for item in module.parameters() if item.dtype.is_floating_point)
    kind = next(kinds, torch.float32)
    if images is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randn((count, *shape), generator=generator).to(kind)
    if images.dim() != 4:
        raise ShapeError(f"images got shape {tuple(images.shape)}, wants (N, C, H, W)")
    return images.detach().to("cpu", kind)


def _gradient(
    module: nn.Module, name: str, images: Tensor
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """(H, W) mean absolute gradient of the central unit, and which unit that is."""
    twin = with_weights(module).eval()
    kept: list[Tensor] = []
    path, _, number = name.partition("#")
    twin.get_submodule(path).register_forward_hook(_keeper(kept))
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    unit: tuple[int, ...] = ()
    for image in images:
        kept.clear()
        source = image[None].clone().requires_grad_()
        with torch.enable_grad():
            twin(source)
            output = kept[int(number or 1) - 1]
            unit = tuple(size // 2 for size in output.shape[2:])
            (gradient,) = torch.autograd.grad(output[0, :, unit[0], unit[1]].sum(), source)
        total += gradient[0].abs().sum(0).double()
    return total.numpy() / len(images), unit


def _keeper(kept: list[Tensor]) -> Callable[[nn.Module, Any, Any], None]:
    def keep(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        kept.append(output if isinstance(output, Tensor) else output[0])

    return keep


def _box(field: Field, axis: int, unit: tuple[int, ...], extent: int) -> tuple[int, int]:
    """First and last input position that a unit sees along one axis, over all channels."""
    low, high = (
        np.broadcast_to(array[axis], field.shape)[0, :, unit[0], unit[1]]
        for array in (field.reach.low, field.reach.high)
    )
    return max(int(low.min()), 0), min(int(high.max()), extent - 1)


def _deviation(importance: NDArray[np.float64], axis: int) -> float:
    """Standard deviation of the importance along one axis, pixels."""
    others = tuple(other for other in range(importance.ndim) if other != axis)
    weights = importance.sum(others)
    weights = weights / max(float(weights.sum()), 1e-300)
    places = np.arange(len(weights))
    mean = float((weights * places).sum())
    return sqrt(float((weights * (places - mean) ** 2).sum()))


def _picture(image: Tensor) -> NDArray[np.float64]:
    values = image.permute(1, 2, 0).double().numpy()
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return scaled if scaled.shape[2] in (1, 3) else scaled[:, :, :1]
