"""NetworkSpec: a network as a small frozen fact sheet; text on one side, modules on the other.

No torch here: a spec can be read, compared, printed and measured without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

Pair = tuple[int, int]  # (vertical, horizontal)
Shape = tuple[int, ...]  # (C, H, W) for volumes, (features,) for vectors


def _by(pair: Pair) -> str:
    """``(3, 3)`` as "3" and ``(3, 1)`` as "3x1"."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _option(letter: str, value: Pair, usual: Pair) -> str:
    return "" if value == usual else f" {letter}{_by(value)}"


def usual_padding(kernel: Pair, dilation: Pair = (1, 1)) -> Pair:
    """d (k - 1) / 2 per side, rounded down: keeps height and width for odd filters."""
    return (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)


class Layer:
    """Base of all layers; ``str(layer)`` is its notation."""


@dataclass(frozen=True)
class Input:
    """Shape of one example: (C, H, W) or (features,)."""

    shape: Shape

    def __str__(self) -> str:
        if len(self.shape) == 1:
            return f"INPUT {self.shape[0]}"
        channels, height, width = self.shape
        return f"INPUT {height}x{width}x{channels}"


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution; padding is per side, ``drop`` the probability of DropConnect (None: none)."""

    kernel: Pair
    filters: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    drop: float | None = None

    def __str__(self) -> str:
        text = f"CONV{_by(self.kernel)}-{self.filters}"
        text += "" if self.stride == (1, 1) else f"/{_by(self.stride)}"
        text += _option("p", self.padding, usual_padding(self.kernel, self.dilation))
        text += _option("d", self.dilation, (1, 1))
        text += "" if self.groups == 1 else f" g{self.groups}"
        text += "" if self.bias else " b0"
        return _dropped(self.drop, text)


@dataclass(frozen=True)
class Conv1d(Layer):
    """Convolution along a line; a vector before it is a line with one channel."""

    kernel: int
    filters: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    def __str__(self) -> str:
        text = f"CONV1D{self.kernel}-{self.filters}"
        text += "" if self.stride == 1 else f"/{self.stride}"
        text += "" if self.padding == (self.kernel - 1) // 2 else f" p{self.padding}"
        return text + ("" if self.bias else " b0")


@dataclass(frozen=True)
class FullyConnected(Layer):
    """Fully connected; flattens a volume. ``drop`` as in Conv."""

    units: int
    bias: bool = True
    drop: float | None = None

    def __str__(self) -> str:
        return _dropped(self.drop, f"FC-{self.units}" + ("" if self.bias else " b0"))


def _dropped(drop: float | None, text: str) -> str:
    return text if drop is None else f"DROPCONNECT({drop!r}) {text}"


@dataclass(frozen=True)
class Maxout(Layer):
    """``units`` outputs, each the largest of ``pieces`` linear functions; flattens a volume."""

    pieces: int
    units: int

    def __str__(self) -> str:
        return f"MAXOUT{self.pieces}-{self.units}"


@dataclass(frozen=True)
class Pool(Layer):
    """Max- or average-pooling; the usual stride is the window's size."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    average: bool = False

    def __str__(self) -> str:
        text = f"{'AVGPOOL' if self.average else 'POOL'}{_by(self.kernel)}"
        text += "" if self.stride == self.kernel else f"/{_by(self.stride)}"
        return text + _option("p", self.padding, (0, 0))


@dataclass(frozen=True)
class Pool1d(Layer):
    """Max- or average-pooling along a line."""

    kernel: int
    stride: int
    padding: int = 0
    average: bool = False

    def __str__(self) -> str:
        text = f"{'AVGPOOL1D' if self.average else 'POOL1D'}{self.kernel}"
        text += "" if self.stride == self.kernel else f"/{self.stride}"
        return text + ("" if self.padding == 0 else f" p{self.padding}")


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """Mean over each channel: a volume becomes a vector."""

    def __str__(self) -> str:
        return "GAP"


@dataclass(frozen=True)
class Activation(Layer):
    """RELU, LRELU(slope), ELU(alpha), SIGMOID or TANH."""

    name: str
    value: float | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}({self.value!r})"


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalization over each channel or feature."""

    def __str__(self) -> str:
        return "BN"


@dataclass(frozen=True)
class Dropout(Layer):
    """Dropout with this probability of dropping."""

    probability: float

    def __str__(self) -> str:
        return f"DROPOUT({self.probability!r})"


@dataclass(frozen=True)
class Repeat(Layer):
    """The same layers several times over, each time with weights of their own."""

    layers: tuple[Layer, ...]
    times: int

    def __str__(self) -> str:
        return f"[{_join(self.layers)}] x {self.times}"


@dataclass(frozen=True)
class Residual(Layer):
    """Shortcut plus branch; the branch is dropped per example with probability ``drop``."""

    layers: tuple[Layer, ...]
    drop: float = 0.0

    def __str__(self) -> str:
        head = f"DROPPATH({self.drop!r})" if self.drop else "RES"
        return f"{head}[{_join(self.layers)}]"


def _join(layers: tuple[Layer, ...]) -> str:
    return ", ".join(str(layer) for layer in layers)


def flat(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """The layers with repeats written out."""
    for layer in layers:
        if isinstance(layer, Repeat):
            for _ in range(layer.times):
                yield from flat(layer.layers)
        else:
            yield layer


@dataclass(frozen=True)
class NetworkSpec:
    """A network in the notation, read.

    Attributes:
        input: shape of one example, None when the data say it.
        layers: what computes, in order.

    ``str(spec)`` is canonical text that parses back to an equal spec.

    Examples:
        >>> from chainrule.network.notation import parse
        >>> str(parse("conv5-10 p2 -> relu -> pool2 -> fc-10"))
        'CONV5-10, RELU, POOL2, FC-10'
    """

    input: Input | None
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        head = (str(self.input),) if self.input is not None else ()
        return ", ".join((*head, *(str(layer) for layer in self.layers)))

    def with_input(self, shape: Shape) -> NetworkSpec:
        """The same layers for examples of another shape, (C, H, W) or (features,)."""
        return replace(self, input=Input(shape))

    def with_outputs(self, outputs: int) -> NetworkSpec:
        """The same network with its last layer of weights giving ``outputs`` scores."""
        layers = list(self.layers)
        for place in range(len(layers) - 1, -1, -1):
            layer = layers[place]
            if isinstance(layer, Conv | Conv1d):
                layers[place] = replace(layer, filters=outputs)
                break
            if isinstance(layer, FullyConnected | Maxout):
                layers[place] = replace(layer, units=outputs)
                break
        return replace(self, layers=tuple(layers))
