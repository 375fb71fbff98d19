"""Formula: how the parameters of a layer come about, as the course writes it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn
from torch.nn.modules.conv import _ConvNd

from chainrule.nn.maxout import Maxout


def formula_of(layer: nn.Module | None, shapes: Sequence[tuple[int, ...]]) -> str:
    """The parameters of a layer written out.

    Args:
        layer: the module; None for a function.
        shapes: shapes of the parameters that it uses.

    Examples:
        >>> conv = nn.Conv2d(1, 10, 5)
        >>> formula_of(conv, [tuple(p.shape) for p in conv.parameters()])
        '10 x (5x5x1 + 1)'
    """
    if not shapes:
        return ""
    written = _written(layer)
    total = sum(prod(shape) for shape in shapes)
    if written is not None and written[1] == total:
        return written[0]
    if len(shapes) == 1 and len(shapes[0]) < 2:
        return ""
    return " + ".join("x".join(str(size) for size in shape) or "1" for shape in shapes)


def _written(layer: nn.Module | None) -> tuple[str, int] | None:
    """The formula, and what it comes to."""
    if isinstance(layer, _ConvNd):
        return _convolution(layer)
    if isinstance(layer, nn.Linear):
        bias = layer.bias is not None
        text = f"{layer.out_features} x {_sum(str(layer.in_features), bias)}"
        return text, layer.out_features * (layer.in_features + bias)
    if isinstance(layer, Maxout):
        bias = layer.linear.bias is not None
        text = f"{layer.units} x {layer.pieces} x {_sum(str(layer.in_features), bias)}"
        return text, layer.units * layer.pieces * (layer.in_features + bias)
    if isinstance(layer, nn.RNNBase):
        return _recurrent(layer)
    if isinstance(layer, nn.Embedding):
        text = f"{layer.num_embeddings} x {layer.embedding_dim}"
        return text, layer.num_embeddings * layer.embedding_dim
    features = getattr(layer, "num_features", None) or getattr(layer, "num_channels", None)
    return (f"2 x {features}", 2 * features) if isinstance(features, int) else None


def _sum(terms: str, bias: bool) -> str:
    return f"({terms} + 1)" if bias else (f"({terms})" if "x" in terms else terms)


def _convolution(layer: _ConvNd) -> tuple[str, int]:
    """Filters times (window times channels of a group, and the bias)."""
    bias, window = layer.bias is not None, prod(layer.kernel_size)
    if layer.transposed:
        outputs = layer.out_channels // layer.groups
        sizes = "x".join(str(size) for size in (*layer.kernel_size, outputs))
        text = f"{layer.in_channels} x ({sizes})" + (f" + {layer.out_channels}" if bias else "")
        return text, layer.in_channels * window * outputs + bias * layer.out_channels
    inputs = layer.in_channels // layer.groups
    sizes = "x".join(str(size) for size in (*layer.kernel_size, inputs))
    return f"{layer.out_channels} x {_sum(sizes, bias)}", layer.out_channels * (
        window * inputs + bias
    )


def _recurrent(layer: nn.RNNBase) -> tuple[str, int] | None:
    """Gates times hidden units times (inputs, hidden units and two biases), layer by layer."""
    if layer.proj_size:
        return None
    gates = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1)
    directions, bias = 1 + layer.bidirectional, 2 * bool(layer.bias)
    terms, total = [], 0
    for depth in range(layer.num_layers):
        inputs = layer.input_size if depth == 0 else directions * layer.hidden_size
        term = f"{gates} x {layer.hidden_size} x ({inputs} + {layer.hidden_size}"
        term += f" + {bias})" if bias else ")"
        terms.append(f"{directions} x {term}" if directions > 1 else term)
        total += directions * gates * layer.hidden_size * (inputs + layer.hidden_size + bias)
    return " + ".join(terms), total
