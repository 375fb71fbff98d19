"""Shapes: the activation volumes and parameters of a spec, layer by layer, without torch.

With input width w, filter k, dilation d, stride s and padding p per side,
``w_out = floor((w + 2 p - d (k - 1) - 1) / s) + 1`` (PyTorch, Conv2d). The course writes p for
the total padding; where the division is not whole, the last rows or columns are never seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from chainrule.errors import NetworkError, ShapeError
from chainrule.network import spec
from chainrule.network.spec import Layer, NetworkSpec, Pair, Shape


@dataclass(frozen=True)
class Flatten(Layer):
    """A volume as a vector; put in where a layer of vectors follows a volume."""

    def __str__(self) -> str:
        return "FLATTEN"


@dataclass(frozen=True)
class Unflatten(Layer):
    """A vector as a line with one channel; put in where a layer along a line follows a vector."""

    def __str__(self) -> str:
        return "UNFLATTEN"


@dataclass(frozen=True)
class LayerShape:
    """A layer in its place.

    Attributes:
        name: its path in the built module ("conv1", "res1.branch.conv1").
        layer: the layer.
        input: shape of what it gets, without the minibatch axis.
        output: shape of what it gives.
        parameters: weights and biases it owns, its parts included.
        note: what a reader should know, "" when nothing.
        branch: parts of a residual's branch.
        shortcut: parts of a residual's shortcut; empty for the identity.
    """

    name: str
    layer: Layer
    input: Shape
    output: Shape
    parameters: int
    note: str = ""
    branch: tuple[LayerShape, ...] = ()
    shortcut: tuple[LayerShape, ...] = ()


def words(shape: Shape) -> str:
    """A shape as the course writes it: "32x32x3" (H x W x C), or the length of a vector."""
    if len(shape) == 3:
        return f"{shape[1]}x{shape[2]}x{shape[0]}"
    return "x".join(str(size) for size in shape)


def shapes(network: NetworkSpec) -> tuple[LayerShape, ...]:
    """Every layer with its shapes and parameters, the parts of residuals after one another.

    Raises:
        NetworkError: the spec has no INPUT.
        ShapeError: two layers do not fit together; names both and the mend.

    Examples:
        >>> from chainrule.network.notation import parse
        >>> planned = shapes(parse("INPUT 32x32x1, CONV5-10, POOL2"))
        >>> [(layer.name, layer.output, layer.parameters) for layer in planned]
        [('conv1', (10, 32, 32), 260), ('pool1', (10, 16, 16), 0)]
    """
    return tuple(leaf for layer in plan(network) for leaf in _leaves(layer))


def plan(network: NetworkSpec) -> tuple[LayerShape, ...]:
    """The layers of the built module in order, repeats written out, residuals with their parts."""
    if network.input is None:
        raise NetworkError(
            f"network '{network}' does not say its input: begin with INPUT, such as INPUT 32x32x3"
        )
    before = _Before(f"{network.input}", network.input.shape)
    return _sequence(network.layers, before, "")


@dataclass(frozen=True)
class _Before:
    """What a layer follows: its words for errors, and the shape it gives."""

    words: str
    shape: Shape


def _leaves(layer: LayerShape) -> tuple[LayerShape, ...]:
    if not isinstance(layer.layer, spec.Residual):
        return (layer,)
    return tuple(leaf for part in (*layer.branch, *layer.shortcut) for leaf in _leaves(part))


def _sequence(layers: tuple[Layer, ...], before: _Before, prefix: str) -> tuple[LayerShape, ...]:
    planned: list[LayerShape] = []
    counts: Counter[str] = Counter()
    for layer in spec.flat(layers):
        for step in _with_flatten(layer, before.shape):
            counts[_kind(step)] += 1
            name = f"{prefix}{_kind(step)}{counts[_kind(step)]}"
            placed = _place(step, name, before)
            planned.append(placed)
            before = _Before(f"{step} ('{name}')", placed.output)
    return tuple(planned)


def _with_flatten(layer: Layer, shape: Shape) -> tuple[Layer, ...]:
    wants_vector = isinstance(layer, spec.FullyConnected | spec.Maxout)
    if isinstance(layer, spec.Conv1d | spec.Pool1d) and len(shape) == 1:
        return (Unflatten(), layer)
    return (Flatten(), layer) if wants_vector and len(shape) > 1 else (layer,)


def _kind(layer: Layer) -> str:
    if isinstance(layer, spec.Activation):
        return layer.name.lower()
    if isinstance(layer, spec.Pool | spec.Pool1d):
        return "avgpool" if layer.average else "pool"
    return _KINDS[type(layer)]


_KINDS: dict[type[Layer], str] = {
    spec.Conv: "conv",
    spec.Conv1d: "conv",
    spec.FullyConnected: "fc",
    spec.Maxout: "maxout",
    spec.GlobalAveragePool: "gap",
    spec.BatchNorm: "bn",
    spec.Dropout: "dropout",
    spec.Residual: "res",
    Flatten: "flatten",
    Unflatten: "unflatten",
}


def _place(layer: Layer, name: str, before: _Before) -> LayerShape:
    shape = before.shape
    if isinstance(layer, spec.Conv1d | spec.Pool1d):
        return _along_a_line(layer, name, before)
    match layer:
        case spec.Conv():
            return _convolution(layer, name, before)
        case spec.Pool():
            sides, note = _slide(layer, name, before, (1, 1))
            return LayerShape(name, layer, shape, (shape[0], *sides), 0, note)
        case spec.GlobalAveragePool():
            _want_volume(layer, name, before)
            return LayerShape(name, layer, shape, shape[:1], 0)
        case spec.FullyConnected():
            count = layer.units * (shape[0] + layer.bias)
            return LayerShape(name, layer, shape, (layer.units,), count)
        case spec.Maxout():
            count = layer.units * layer.pieces * (shape[0] + 1)
            return LayerShape(name, layer, shape, (layer.units,), count)
        case spec.BatchNorm():
            return LayerShape(name, layer, shape, shape, 2 * shape[0])
        case spec.Residual():
            return _residual(layer, name, before)
        case Flatten() | Unflatten():
            flat = (prod(shape),)
            output = flat if isinstance(layer, Flatten) else (1, *flat)
            return LayerShape(name, layer, shape, output, 0)
    return LayerShape(name, layer, shape, shape, 0)


def _along_a_line(layer: spec.Conv1d | spec.Pool1d, name: str, before: _Before) -> LayerShape:
    """A window sliding over a line (C, L)."""
    if len(before.shape) != 2:
        raise ShapeError(
            f"{layer} ('{name}') wants a vector or a line, but {before.words} gives a volume of "
            f"{words(before.shape)}: use CONV and POOL there"
        )
    channels, length = before.shape
    room = length + 2 * layer.padding - layer.kernel
    if room < 0:
        raise ShapeError(
            f"{layer} ('{name}') needs a length of at least {layer.kernel}, but {before.words} "
            f"gives {length} ({length + 2 * layer.padding} with padding): use a smaller window"
        )
    rest = room % layer.stride
    note = f"the last {rest} of the padded input never seen" if rest else ""
    output = room // layer.stride + 1
    if isinstance(layer, spec.Pool1d):
        return LayerShape(name, layer, before.shape, (channels, output), 0, note)
    count = layer.filters * (layer.kernel * channels + layer.bias)
    return LayerShape(name, layer, before.shape, (layer.filters, output), count, note)


def _convolution(layer: spec.Conv, name: str, before: _Before) -> LayerShape:
    sides, note = _slide(layer, name, before, layer.dilation)
    channels = before.shape[0]
    if channels % layer.groups or layer.filters % layer.groups:
        raise ShapeError(
            f"{layer} ('{name}') splits into {layer.groups} groups, but {before.words} gives "
            f"{words(before.shape)} and it has {layer.filters} filters: both {channels} and "
            f"{layer.filters} must divide by the groups"
        )
    fan_in = prod(layer.kernel) * channels // layer.groups
    count = layer.filters * (fan_in + layer.bias)
    return LayerShape(name, layer, before.shape, (layer.filters, *sides), count, note)


def _want_volume(layer: Layer, name: str, before: _Before) -> None:
    if len(before.shape) != 3:
        raise ShapeError(
            f"{layer} ('{name}') wants a volume H x W x C, but {before.words} gives a vector of "
            f"{words(before.shape)}: put it before the first FC, or give INPUT a height and width"
        )


def _slide(
    layer: spec.Conv | spec.Pool, name: str, before: _Before, dilation: Pair
) -> tuple[Pair, str]:
    """Height and width that a sliding window gives, and a note on what it never sees."""
    _want_volume(layer, name, before)
    sides, rests = [], []
    for axis in (0, 1):
        reach = dilation[axis] * (layer.kernel[axis] - 1) + 1
        room = before.shape[1 + axis] + 2 * layer.padding[axis] - reach
        if room < 0:
            raise ShapeError(_too_small(layer, name, before, dilation))
        sides.append(room // layer.stride[axis] + 1)
        rests.append(room % layer.stride[axis])
    rows = f"{rests[0]} row{'s' * (rests[0] > 1)}" if rests[0] else ""
    columns = f"{rests[1]} column{'s' * (rests[1] > 1)}" if rests[1] else ""
    unseen = " and ".join(part for part in (rows, columns) if part)
    note = f"the last {unseen} of the padded input never seen" if unseen else ""
    return (sides[0], sides[1]), note


def _too_small(layer: spec.Conv | spec.Pool, name: str, before: _Before, dilation: Pair) -> str:
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, layer.kernel, strict=True))
    padding = layer.padding
    padded = (before.shape[1] + 2 * padding[0], before.shape[2] + 2 * padding[1])
    return (
        f"{layer} ('{name}') needs at least {reach[0]}x{reach[1]}, but {before.words} gives "
        f"{words(before.shape)} ({padded[0]}x{padded[1]} with padding): use a smaller window, more "
        "padding, or pool less before it"
    )


def _residual(layer: spec.Residual, name: str, before: _Before) -> LayerShape:
    branch = _sequence(layer.layers, before, f"{name}.branch.")
    output = branch[-1].output
    shortcut = _shortcut(layer, name, before, output)
    count = sum(part.parameters for part in (*branch, *shortcut))
    return LayerShape(name, layer, before.shape, output, count, branch=branch, shortcut=shortcut)


def _shortcut(
    layer: spec.Residual, name: str, before: _Before, output: Shape
) -> tuple[LayerShape, ...]:
    """Identity where the branch keeps the shape, else a projection (He et al. 2015, option B)."""
    shape = before.shape
    if shape == output:
        return ()
    normalized = any(isinstance(part, spec.BatchNorm) for part in spec.flat(layer.layers))
    norm = (spec.BatchNorm(),) if normalized else ()
    if len(output) == 1:
        parts: tuple[Layer, ...] = (spec.FullyConnected(output[0], bias=False), *norm)
    else:
        stride = (_stride(shape[1], output[1]), _stride(shape[2], output[2]))
        if 0 in stride:
            raise ShapeError(
                f"the branch of {name} gives {words(output)}, but {before.words} gives "
                f"{words(shape)}: no stride of a 1x1 projection joins them; keep the size in the "
                "branch (padding) or halve it with /2"
            )
        parts = (spec.Conv((1, 1), output[0], stride=stride, bias=False), *norm)
    return _sequence(parts, before, f"{name}.shortcut.")


def _stride(size: int, output: int) -> int:
    """The stride with which a 1x1 window over ``size`` gives ``output`` places; 0 if none does."""
    return next((s for s in range(1, size + 1) if (size - 1) // s + 1 == output), 0)
