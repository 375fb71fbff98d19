"""Convolutionalize: fully-connected layers as convolutions, so that any larger image fits.

A fully-connected layer on a volume C x H x W is a convolution with H x W filters at one place
(J. Long, E. Shelhamer and T. Darrell, Fully convolutional networks, CVPR 2015; CS231n notes on
ConvNets, "Converting FC layers to CONV layers"). On the training size the scores are the same;
a larger image gives a map of scores.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from chainrule.analysis.describe import InputLike, Network
from chainrule.analysis.inputs import read_inputs, single_shape
from chainrule.analysis.traced import subject_of
from chainrule.analysis.tracer import same_random_state
from chainrule.analysis.twin import weightless, with_weights
from chainrule.answer import Answer
from chainrule.errors import NetworkError, ShapeError
from chainrule.nn.global_average_pool import GlobalAveragePool

_Shape = tuple[int, ...]


@dataclass(frozen=True)
class Convolutionalized(Answer):
    """What was turned into convolutions.

    Attributes:
        network: how the network was named.
        input: the training size, (C, H, W).
        output: shape of its scores.
        replaced: (layer, what it was, what it became).
        largest_difference: largest difference of the scores on the training size.
        larger_input: a larger size that was tried, (C, H, W).
        larger_output: the score map it gives.
        parameters: number of parameters, unchanged.
    """

    network: str
    input: _Shape
    output: _Shape
    replaced: tuple[tuple[str, str, str], ...]
    largest_difference: float
    larger_input: _Shape
    larger_output: _Shape
    parameters: int


def convolutionalize(network: Network, input: InputLike = None) -> nn.Module:  # noqa: A002
    """A copy of a network whose fully-connected layers are convolutions, weights carried over.

    Args:
        network: a module, or what ``chainrule.network`` takes.
        input: the training size, (C, H, W); left out, it is taken from the network.

    Returns:
        A module from (N, C, H, W) to (N, classes, h, w); h = w = 1 on the training size.

    Raises:
        NetworkError: its forward cannot be rewritten; names the operation in the way.
        ShapeError: the input is not an image.

    Source: Long, Shelhamer and Darrell 2015.

    Examples:
        >>> dense = convolutionalize("INPUT 8x8x1, CONV3-4, RELU, POOL2, FC-10")
        >>> dense(torch.zeros(1, 1, 12, 12)).shape
        torch.Size([1, 10, 3, 3])
    """
    return _rewritten(network, input)[0]


def convolutionalization(
    network: Network,
    input: InputLike = None,  # noqa: A002
    larger: tuple[int, int] | None = None,
    name: str = "",
) -> tuple[Convolutionalized, nn.Module]:
    """The rewritten network, and what was compared to show that it is the same function.

    Args:
        network: as for ``convolutionalize``.
        input: the training size.
        larger: height and width of a larger image to try; half as large again by default.
        name: how to call the network.
    """
    made, original, shape, replaced = _rewritten(network, input)
    height, width = larger or (shape[1] * 3 // 2, shape[2] * 3 // 2)
    if height < shape[1] or width < shape[2]:
        raise ShapeError(
            f"larger got {height}x{width}, wants at least the training size {shape[1]}x{shape[2]}"
        )
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((1, *shape), generator=generator)
    wide = torch.randn((1, shape[0], height, width), generator=generator)
    with torch.no_grad(), same_random_state():
        before, after, scores = original.eval()(image), made.eval()(image), made(wide)
    return (
        Convolutionalized(
            subject_of(network, shape, name).name,
            shape,
            tuple(before.shape[1:]),
            replaced,
            float((before.flatten() - after.flatten()).abs().max()),
            (shape[0], height, width),
            tuple(scores.shape[1:]),
            sum(item.numel() for item in made.parameters()),
        ),
        made,
    )


def _rewritten(
    network: Network, given: InputLike
) -> tuple[nn.Module, nn.Module, _Shape, tuple[tuple[str, str, str], ...]]:
    subject = subject_of(network, single_shape(given))
    shape = read_inputs(given, subject.module, 1).shapes[0]
    if len(shape) != 3:
        raise ShapeError(f"convolutionalize got the input {shape}, wants an image (C, H, W)")
    original = with_weights(subject.with_values())
    copy = with_weights(original).eval()
    graph = _symbolic(copy, shape)
    rewriter = _Rewriter(graph)
    made = rewriter.run()
    return made, original, shape, tuple(rewriter.replaced)


def _symbolic(copy: nn.Module, shape: _Shape) -> fx.GraphModule:
    """The forward pass as a graph with the shape of every value."""
    try:
        graph = fx.symbolic_trace(copy)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise NetworkError(
            f"the forward of {type(copy).__name__} cannot be rewritten: {reason}"
        ) from error
    meta: Any = weightless(graph)
    ShapeProp(meta).propagate(torch.empty((1, *shape), device="meta"))
    for node, known in zip(graph.graph.nodes, meta.graph.nodes, strict=True):
        node.meta = known.meta
    return graph


class _Rewriter:
    """Replaces flattening, pooling to a fixed size and linear layers, node by node."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self._module, self._graph = graph, graph.graph
        self.replaced: list[tuple[str, str, str]] = []
        self._volumes: dict[fx.Node, _Shape] = {}  # flattened values: the volume that they were

    def run(self) -> fx.GraphModule:
        for node in list(self._graph.nodes):
            if node.op == "call_module":
                self._layer(node, self._module.get_submodule(str(node.target)))
            elif node.op in ("call_function", "call_method"):
                self._function(node)
        self._graph.lint()
        self._module.delete_all_unused_submodules()  # a layer that only flattened
        self._module.recompile()
        if not self.replaced:
            raise NetworkError("the network has no fully-connected layer and no global pooling")
        return self._module

    def _layer(self, node: fx.Node, layer: nn.Module) -> None:
        if isinstance(layer, nn.Flatten):
            self._pass(node)
        elif isinstance(layer, nn.Linear):
            self._linear(node, layer)
        elif isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d | GlobalAveragePool):
            self._pool(node, layer)
        elif isinstance(layer, nn.BatchNorm1d):
            self._batch_norm(node, layer)
        elif isinstance(layer, nn.Softmax | nn.LogSoftmax) and layer.dim in (-1, None):
            self._put(node, type(layer)(dim=1), type(layer).__name__)

    def _function(self, node: fx.Node) -> None:
        flat = node.target in (torch.flatten, "flatten")
        reshaped = node.target in ("view", "reshape", torch.reshape)
        if (flat or reshaped) and len(_shape(node)) == 2 and len(_shape(_source(node))) == 4:
            self._pass(node)
            _drop_unused_sizes(self._graph)
        elif node.target in ("mean", torch.mean) and len(_shape(_source(node))) == 4:
            self._pool(node, nn.AdaptiveAvgPool2d(1))
        elif node.target in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
            average = node.target is F.adaptive_avg_pool2d
            size = _shape(node)[2:]
            self._pool(node, (nn.AdaptiveAvgPool2d if average else nn.AdaptiveMaxPool2d)(size))
        elif node.target is F.linear:
            raise NetworkError(
                f"'{node.name}' calls linear as a function: use nn.Linear, so that its weights "
                "can become a convolution's"
            )

    def _pass(self, node: fx.Node) -> None:
        """Leave out a flattening; what follows sees the volume."""
        source = _source(node)
        volume = self._volumes.get(source, _shape(source)[1:])
        node.replace_all_uses_with(source)
        self._graph.erase_node(node)
        self._volumes[source] = volume

    def _linear(self, node: fx.Node, layer: nn.Linear) -> None:
        source = _source(node)
        volume = self._volume(source)
        if prod(volume) != layer.in_features:
            raise NetworkError(
                f"layer '{node.target}' works along the last axis of {_shape(source)}, not on a "
                "whole volume: it cannot become a convolution over the image"
            )
        channels, height, width = volume if len(volume) == 3 else (volume[0], 1, 1)
        made = nn.Conv2d(
            channels, layer.out_features, (height, width), bias=layer.bias is not None,
            dtype=layer.weight.dtype,
        )  # fmt: skip
        with torch.no_grad():
            made.weight.copy_(layer.weight.view_as(made.weight))
            if layer.bias is not None and made.bias is not None:
                made.bias.copy_(layer.bias)
        was = f"Linear {layer.in_features} to {layer.out_features}"
        self._put(node, made, was)
        self._volumes[node] = (layer.out_features, 1, 1)

    def _volume(self, node: fx.Node) -> _Shape:
        """The volume that a vector was before it was flattened; dropout and ReLU leave it."""
        walker = node
        while walker not in self._volumes and len(walker.all_input_nodes) == 1:
            if prod(_shape(_source(walker))) != prod(_shape(node)):
                break
            walker = _source(walker)
        return self._volumes.get(walker) or _shape(node)[1:]

    def _pool(self, node: fx.Node, layer: nn.Module) -> None:
        """Pooling to a fixed size slides on a larger image as it did on the training size."""
        source = _source(node)
        if _gates(node):
            return  # squeeze-and-excitation stays global
        sides = _shape(source)[2:]
        target = _shape(node)[2:] if len(_shape(node)) == 4 else (1, 1)
        if any(side % size for side, size in zip(sides, target, strict=True)):
            raise NetworkError(
                f"'{node.name}' pools {sides[0]}x{sides[1]} to {target[0]}x{target[1]} with "
                "windows of different sizes: no sliding window does the same"
            )
        window = (sides[0] // target[0], sides[1] // target[1])
        stride = window if max(target) > 1 else (1, 1)
        kind = nn.MaxPool2d if isinstance(layer, nn.AdaptiveMaxPool2d) else nn.AvgPool2d
        made = nn.Identity() if max(window) == 1 else kind(window, stride)
        self._put(node, made, f"{type(layer).__name__} to {target[0]}x{target[1]}")
        self._volumes[node] = (_shape(source)[1], *target)

    def _batch_norm(self, node: fx.Node, layer: nn.BatchNorm1d) -> None:
        made = nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum, layer.affine,
                              layer.track_running_stats)  # fmt: skip
        made.load_state_dict(layer.state_dict())
        self._put(node, made.train(layer.training), "BatchNorm1d")

    def _put(self, node: fx.Node, made: nn.Module, was: str) -> None:
        """Let ``made`` compute the node."""
        name = str(node.target) if node.op == "call_module" else f"{node.name}_layer"
        self._module.add_submodule(name, made)
        if node.op != "call_module":
            node.op, node.target, node.args, node.kwargs = "call_module", name, (_source(node),), {}
        self.replaced.append((name, was, _words(made)))


def _gates(node: fx.Node) -> bool:
    """Whether a pooled value is spread over a map again, as a gate."""
    after, seen = list(node.users), set()
    while after:
        user = after.pop()
        if user not in seen:
            seen.add(user)
            if len(_shape(user)) == 4 and max(_shape(user)[2:]) > max((*_shape(node)[2:], 1)):
                return True
            after.extend(user.users)
    return False


def _source(node: fx.Node) -> fx.Node:
    return node.all_input_nodes[0]


def _shape(node: fx.Node) -> _Shape:
    found: Any = node.meta.get("tensor_meta")
    return tuple(found.shape) if hasattr(found, "shape") else ()


def _drop_unused_sizes(graph: fx.Graph) -> None:
    """``x.view(x.size(0), -1)`` leaves its sizes behind."""
    for node in reversed(list(graph.nodes)):
        sizes = node.target in ("size", "shape", getattr, operator.getitem)
        if sizes and not node.users:
            graph.erase_node(node)


def _words(made: nn.Module) -> str:
    if isinstance(made, nn.Conv2d):
        height, width = made.kernel_size[0], made.kernel_size[1]
        return f"Conv2d {height}x{width}, {made.in_channels} to {made.out_channels}"
    if isinstance(made, nn.AvgPool2d | nn.MaxPool2d):
        window: Any = made.kernel_size
        return f"{type(made).__name__} {window[0]}x{window[1]}"
    return type(made).__name__
