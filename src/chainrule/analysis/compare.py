"""Compare: networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from chainrule.analysis.describe import InputLike, Network, describe
from chainrule.analysis.description import Description, LayerDescription
from chainrule.answer import Answer
from chainrule.errors import NetworkError

NONLINEARITIES = (
    *("relu", "leakyrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh"),
    *("hardswish", "hardsigmoid", "hardtanh", "relu6", "prelu", "softplus", "maxout", "maxpool"),
    *("leaky_relu", "glu", "logsigmoid", "softsign", "threshold"),
)


@dataclass(frozen=True)
class NetworkComparison(Answer):
    """Networks side by side; one entry per network in every list.

    Attributes:
        networks: how they were named.
        descriptions: all that is known of each.
        rows: quantity -> one value per network ("parameters", "MACs", "receptive field", ...).
        weights_of_channels: weights without biases as a multiple of C^2, where every layer of a
            network maps C channels to C channels ("27 C^2"); "" elsewhere.
    """

    networks: tuple[str, ...]
    descriptions: tuple[Description, ...]
    rows: dict[str, tuple[object, ...]]
    weights_of_channels: tuple[str, ...]


def compare(
    networks: Sequence[Network],
    input: InputLike = None,  # noqa: A002 - the notation's own word
    *,
    batch: int = 1,
    names: Sequence[str] = (),
) -> NetworkComparison:
    """Two or more networks side by side on the same input.

    Args:
        networks: modules, or what ``describe`` takes.
        input: shape of one example, as for ``describe``.
        batch: examples that counts and bytes are for.
        names: how to call them; their text or class by default.

    Raises:
        NetworkError: fewer than two networks.

    Source: K. Simonyan and A. Zisserman, Very deep convolutional networks, ICLR 2015, section
    2.3, for three 3x3 against one 7x7.

    Examples:
        >>> stack = "INPUT 32x32x8, [CONV3-8 b0, RELU] x 3"
        >>> answer = compare([stack, "INPUT 32x32x8, CONV7-8 b0, RELU"])
        >>> answer.rows["receptive field"], answer.weights_of_channels
        (('7x7', '7x7'), ('27 C^2', '49 C^2'))
    """
    if len(networks) < 2:
        raise NetworkError(f"compare got {len(networks)} network, wants two or more")
    if names and len(names) != len(networks):
        raise NetworkError(f"compare got {len(names)} names for {len(networks)} networks")
    found = tuple(
        describe(network, input, batch=batch, name=name)
        for network, name in zip(networks, names or [""] * len(networks), strict=True)
    )
    return NetworkComparison(
        tuple(item.network for item in found),
        found,
        _rows(found),
        tuple(_in_channels(item) for item in found),
    )


def _rows(found: tuple[Description, ...]) -> dict[str, tuple[object, ...]]:
    return {
        "output": tuple(_shape(item) for item in found),
        "layers with parameters": tuple(
            sum(layer.parameters > 0 for layer in item.layers) for item in found
        ),
        "non-linearities": tuple(_nonlinearities(item) for item in found),
        "receptive field": tuple(_field(item) for item in found),
        "parameters": tuple(item.totals.parameters for item in found),
        "MACs forward": tuple(item.totals.macs for item in found),
        "FLOPs forward": tuple(item.totals.flops for item in found),
        "MACs backward": tuple(item.totals.backward_macs for item in found),
        "activations, all layers (bytes)": tuple(i.totals.activation_bytes for i in found),
        "activations, inference (bytes)": tuple(item.totals.inference_bytes for item in found),
        "activations, training (bytes)": tuple(item.totals.training_bytes for item in found),
        "training step with adam (bytes)": tuple(item.memory.training["adam"] for item in found),
    }


def _shape(item: Description) -> str:
    outputs = [layer.output for layer in item.layers if layer.output is not None]
    return "x".join(str(size) for size in outputs[-1]) if outputs else "-"


def _nonlinearities(item: Description) -> int:
    words = (layer.operation.split()[0].rstrip("0123456789d").lower() for layer in item.layers)
    return sum(word in NONLINEARITIES for word in words)


def _field(item: Description) -> str:
    """The last local field, and whether the output sees all."""
    fields = [layer.receptive_field for layer in item.layers if layer.receptive_field is not None]
    local = [field for field in fields if field.size]
    if not local:
        return "-"
    text = "x".join(str(size) for size in local[-1].size or ())
    return f"{text}, then whole input" if fields[-1].whole and not fields[-1].size else text


def _in_channels(item: Description) -> str:
    """Weights as a multiple of C^2, where all layers with weights map C to C channels."""
    weights, channels = 0, set()
    for layer in item.layers:
        if not layer.parameters:
            continue
        window = _window(layer)
        if window is None or layer.output is None:
            return ""
        filters = layer.output[0]
        if layer.parameters not in (window * filters**2, window * filters**2 + filters):
            return ""
        channels.add(filters)
        weights += window
    return f"{weights} C^2" if len(channels) == 1 else ""


def _window(layer: LayerDescription) -> int | None:
    words = layer.operation.split(",")[0].split()
    if len(words) != 2 or not words[0].startswith("Conv"):
        return 1 if layer.operation == "Linear" else None
    return prod(int(size) for size in words[1].split("x"))
