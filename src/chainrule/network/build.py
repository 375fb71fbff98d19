"""Build: a spec as an ``nn.Module`` with readable layer names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

from chainrule.network import spec
from chainrule.network.shapes import Flatten, LayerShape, Unflatten, plan
from chainrule.nn.dropconnect import DropConnectConv2d, DropConnectLinear
from chainrule.nn.global_average_pool import GlobalAveragePool
from chainrule.nn.maxout import Maxout
from chainrule.nn.residual import Residual


class Network(nn.Sequential):
    """The module of a spec; its layers are named conv1, relu1, pool1, ...

    Attributes:
        spec: what it was built from.
    """

    def __init__(self, network: spec.NetworkSpec) -> None:
        super().__init__(_named(plan(network)))
        self.spec = network


def build(network: spec.NetworkSpec) -> Network:
    """A fresh module of ``network``, with PyTorch's default initial weights.

    Raises:
        NetworkError, ShapeError: no INPUT, or layers that do not fit together.

    Examples:
        >>> from chainrule.network.notation import parse
        >>> module = build(parse("INPUT 8x8x1, CONV3-4, RELU, FC-10"))
        >>> [name for name, _ in module.named_children()]
        ['conv1', 'relu1', 'flatten1', 'fc1']
    """
    return Network(network)


def _named(layers: Sequence[LayerShape]) -> OrderedDict[str, nn.Module]:
    return OrderedDict((layer.name.rpartition(".")[2], _module(layer)) for layer in layers)


def _module(placed: LayerShape) -> nn.Module:
    layer, features = placed.layer, placed.input[0]
    if placed.parameters:
        return _weighted(placed, features)
    match layer:
        case spec.Pool():
            kind = nn.AvgPool2d if layer.average else nn.MaxPool2d
            return kind(layer.kernel, layer.stride, layer.padding)
        case spec.Pool1d():
            line = nn.AvgPool1d if layer.average else nn.MaxPool1d
            return line(layer.kernel, layer.stride, layer.padding)
        case Unflatten():
            return nn.Unflatten(1, (1, features))
        case spec.GlobalAveragePool():
            return GlobalAveragePool()
        case spec.Dropout(probability):
            return nn.Dropout(probability)
        case spec.Activation():
            return _ACTIVATIONS[layer.name](layer.value or 0.0)
        case spec.Residual():
            return _residual(layer, placed)
        case Flatten():
            return nn.Flatten()
    raise TypeError(f"no module for {layer}")


def _weighted(placed: LayerShape, features: int) -> nn.Module:
    """The layers that have parameters."""
    layer = placed.layer
    match layer:
        case spec.Conv():
            return _convolution(layer, features)
        case spec.Conv1d(kernel, filters, stride, padding, bias):
            return nn.Conv1d(features, filters, kernel, stride, padding, bias=bias)
        case spec.FullyConnected(units, bias, None):
            return nn.Linear(features, units, bias=bias)
        case spec.FullyConnected(units, bias, float(drop)):
            return DropConnectLinear(features, units, p=drop, bias=bias)
        case spec.Maxout(pieces, units):
            return Maxout(features, units, pieces)
        case spec.BatchNorm():
            wide = len(placed.input) == 3
            return nn.BatchNorm2d(features) if wide else nn.BatchNorm1d(features)
        case spec.Residual():
            return _residual(layer, placed)
    raise TypeError(f"no module for {layer}")


_ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "RELU": lambda _: nn.ReLU(),
    "LRELU": nn.LeakyReLU,
    "ELU": nn.ELU,
    "SIGMOID": lambda _: nn.Sigmoid(),
    "TANH": lambda _: nn.Tanh(),
}


def _convolution(layer: spec.Conv, channels: int) -> nn.Module:
    if layer.drop is None:
        return nn.Conv2d(
            channels,
            layer.filters,
            layer.kernel,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            layer.bias,
        )
    return DropConnectConv2d(
        channels,
        layer.filters,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias,
        p=layer.drop,
    )


def _residual(layer: spec.Residual, placed: LayerShape) -> nn.Module:
    shortcut = nn.Sequential(_named(placed.shortcut)) if placed.shortcut else None
    return Residual(nn.Sequential(_named(placed.branch)), shortcut, p=layer.drop)
