"""Rules for windows: convolution, pooling, interpolation, padding, pixel shuffling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from chainrule.analysis import field as fields
from chainrule.analysis.field import Field
from chainrule.analysis.graph import Operation
from chainrule.analysis.lattice import (
    AxisMap,
    Border,
    adaptive_map,
    interpolation_map,
    nearest_map,
    slice_map,
    transposed_map,
    window_map,
)
from chainrule.analysis.rules import Getter, Rule, only, whole


def _per_axis(value: Sequence[int] | int, axes: int, default: Sequence[int] = ()) -> list[int]:
    given = [value] if isinstance(value, int) else list(value)
    given = given or list(default)
    return given * axes if len(given) == 1 else given


def _slide(found: Field, maps: Sequence[AxisMap], shape: Sequence[int]) -> Field:
    """Windows over the last axes."""
    first = len(shape) - len(maps)
    for place, moved in enumerate(maps):
        axis = first + place
        found = fields.windowed(found, axis, moved, shape[axis])
    return found


def convolution(operation: Operation, get: Getter) -> Any:
    """Plain and transposed convolution."""
    found, weight = get(operation.inputs[0]), operation.inputs[1]
    shape, axes = operation.outputs[0].shape, len(weight.shape) - 2
    if get(weight) is not None:
        return whole(operation, [part for part in (found, get(weight)) if part])
    if found is None:
        return None
    stride, padding, dilation = (
        _per_axis(operation.argument(name), axes) for name in ("stride", "padding", "dilation")
    )
    groups, transposed = operation.argument("groups"), operation.argument("transposed")
    found = _rechannelled(found, len(shape) - axes - 1, groups, shape[-axes - 1])
    maps = [
        transposed_map(size, stride[place], padding[place], dilation[place])
        if transposed
        else window_map(size, stride[place], padding[place], dilation[place])
        for place, size in enumerate(weight.shape[2:])
    ]
    return _slide(found, maps, shape)


def _rechannelled(found: Field, axis: int, groups: int, channels: int) -> Field:
    """Every output channel of a group sees what any input channel of the group sees."""
    shape = found.shape
    if found.reach.lean(axis):  # all channels see alike, as they mostly do
        made = (*shape[:axis], channels, *shape[axis + 1 :])
        layout = (*found.layout[:axis], fields.plain(channels), *found.layout[axis + 1 :])
        lattices = found.without([axis]) if found.carries([axis]) else found.lattices
        reach = replace(found.reach, shape=made)
        return replace(found, reach=reach, layout=layout, lattices=lattices)
    if groups > 1 and shape[axis] > groups:
        split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
        found = fields.reduced(fields.viewed(found, split), [axis + 1], keep=False)
    elif groups == 1:
        found = fields.reduced(found, [axis], keep=True)
    wide = (*shape[:axis], max(groups, 1), channels // max(groups, 1), *shape[axis + 1 :])
    found = fields.expanded(fields.inserted(found, axis + 1), wide)
    return fields.viewed(found, (*shape[:axis], channels, *shape[axis + 1 :]))


def pool(axes: int) -> Rule:
    @only
    def pool(operation: Operation, found: Field) -> Any:
        """Pooling windows."""
        kernel = _per_axis(operation.argument("kernel_size"), axes)
        stride = _per_axis(operation.argument("stride"), axes, kernel)
        padding = _per_axis(operation.argument("padding"), axes)
        dilated = "max" in operation.name
        dilation = _per_axis(operation.argument("dilation") if dilated else 1, axes)
        maps = [window_map(*sizes) for sizes in zip(kernel, stride, padding, dilation, strict=True)]
        made = _slide(found, maps, operation.outputs[0].shape)
        return [made] * len(operation.outputs)

    return pool


def adaptive(axes: int) -> Rule:
    @only
    def adaptive(operation: Operation, found: Field) -> Any:
        """Adaptive pooling; over a whole axis it is global."""
        shape = operation.outputs[0].shape
        for axis in range(len(shape) - axes, len(shape)):
            if shape[axis] == 1:
                found = fields.reduced(found, [axis], keep=True)
            else:
                moved = adaptive_map(found.shape[axis], shape[axis])
                found = fields.windowed(found, axis, moved, shape[axis])
        return [found] * len(operation.outputs)

    return adaptive


def upsample(axes: int, kind: str) -> Rule:
    @only
    def upsample(operation: Operation, found: Field) -> Field:
        """Interpolation."""
        shape = operation.outputs[0].shape
        aligned = kind != "nearest" and bool(operation.argument("align_corners"))
        scales = _scales(operation, axes)
        for place in range(axes):
            axis = len(shape) - axes + place
            pace = _pace(found.shape[axis], shape[axis], scales[place], aligned)
            if kind == "nearest":
                moved = nearest_map(pace, "exact" in operation.name)
            else:
                moved = interpolation_map(pace, aligned, 2 if kind == "cubic" else 1)
            found = fields.windowed(found, axis, moved, shape[axis])
        return found

    return upsample


def _scales(operation: Operation, axes: int) -> list[float | None]:
    names = {item.name for item in operation.function._schema.arguments}
    wanted = ["scales_d", "scales_h", "scales_w"][-axes:] if axes > 1 else ["scales"]
    return [operation.argument(name) if name in names else None for name in wanted]


def _pace(inputs: int, outputs: int, scale: float | None, aligned: bool) -> Fraction:
    """Inputs per output, as PyTorch computes it (UpSample.h, area_pixel_compute_scale)."""
    if aligned:
        return Fraction(inputs - 1, outputs - 1) if outputs > 1 else Fraction(0)
    if scale is not None and scale > 0:
        return 1 / Fraction(scale).limit_denominator(4096)
    return Fraction(inputs, outputs)


@only
def pad(operation: Operation, found: Field) -> Field:
    """Zeros, the edge or a mirror image around the last axes."""
    amounts = list(operation.argument("pad" if "constant" in operation.name else "padding"))
    border: Border = "reflect" if "reflection" in operation.name else "drop"
    border = "clamp" if "replication" in operation.name else border
    rank = len(found.shape)
    for place in range(len(amounts) // 2):
        begin, end = amounts[2 * place : 2 * place + 2]
        axis = rank - 1 - place
        if begin or end:
            moved = replace(slice_map(-begin), border=border)
            found = fields.windowed(found, axis, moved, found.shape[axis] + begin + end)
    return found


@only
def pixel_shuffle(operation: Operation, found: Field) -> Field:
    """(C r^2, H, W) to (C, H r, W r)."""
    r = int(operation.argument("upscale_factor"))
    *batch, channels, height, width = found.shape
    n = len(batch)
    found = fields.viewed(found, (*batch, channels // r**2, r, r, height, width))
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return fields.viewed(fields.permuted(found, order), operation.outputs[0].shape)


@only
def pixel_unshuffle(operation: Operation, found: Field) -> Field:
    """(C, H r, W r) to (C r^2, H, W)."""
    r = int(operation.argument("downscale_factor"))
    shape = operation.outputs[0].shape
    maps = [window_map(r, r), window_map(r, r)]
    seen = _slide(fields.reduced(found, [len(shape) - 3], keep=True), maps, shape)
    seen = fields.expanded(seen, shape)
    *batch, channels, height, width = found.shape
    n = len(batch)
    exact = fields.viewed(found, (*batch, channels, height // r, r, width // r, r))
    exact = fields.permuted(exact, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return replace(seen, reach=fields.viewed(exact, shape).reach)
