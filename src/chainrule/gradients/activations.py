"""Activations: where an activation function is flat or off, told from its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

SATURATED = 0.05  # of the steepest slope


@dataclass(frozen=True)
class Activation:
    """What an output tells of the slope there.

    Attributes:
        name: the function.
        slope: output to derivative, as a share of the largest derivative of the function; None
            for functions that do not flatten out at a bound.
        off: whether an output of exactly 0 has the derivative 0 (a rectified linear unit).
    """

    name: str
    slope: Callable[[Tensor], Tensor] | None = None
    off: bool = False

    def saturated(self, output: Tensor) -> Tensor | None:
        """Where the derivative is below 5 % of its maximum; None where that cannot be.

        sigmoid: ``4 y (1 - y) < 0.05``, that is ``|x| > 4.36``; tanh: ``1 - y^2 < 0.05``, that is
        ``|x| > 2.18``; softsign: ``(1 - |y|)^2``; hardsigmoid and the upper end of relu6: flat.

        Args:
            output: any shape.

        Source: X. Glorot and Y. Bengio, AISTATS 2010, on units at their asymptotes.

        Examples:
            >>> import torch
            >>> y = torch.tanh(torch.tensor([0.0, 2.1, 2.2, -9.0]))
            >>> ACTIVATIONS["tanh"].saturated(y).tolist()
            [False, False, True, True]
        """
        return None if self.slope is None else self.slope(output) < SATURATED


def _inside(low: float, high: float) -> Callable[[Tensor], Tensor]:
    return lambda y: ((y > low) & (y < high)).to(y.dtype)


_KNOWN = (
    Activation("relu", off=True),
    Activation("relu6", lambda y: (y < 6).to(y.dtype), off=True),
    Activation("threshold", off=True),
    Activation("sigmoid", lambda y: 4 * y * (1 - y)),
    Activation("tanh", lambda y: 1 - y * y),
    Activation("softsign", lambda y: (1 - y.abs()) ** 2),
    Activation("hardsigmoid", _inside(0, 1)),
    *map(
        Activation,
        ("leaky_relu", "leakyrelu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu",
         "mish", "softplus", "hardswish", "hardtanh", "logsigmoid", "tanhshrink"),
    ),
)  # fmt: skip
ACTIVATIONS = {item.name: item for item in _KNOWN}
_ELEMENTWISE = (nn.modules.dropout._DropoutNd, nn.Identity, nn.Flatten, nn.Unflatten)


def activation_of(layer: nn.Module) -> Activation | None:
    """The activation function that a layer is, None for other layers.

    Examples:
        >>> activation_of(nn.ReLU()).off, activation_of(nn.Linear(1, 1))
        (True, None)
    """
    return ACTIVATIONS.get(type(layer).__name__.lower())


def elementwise(layer: nn.Module) -> bool:
    """Whether each output of a layer depends on one input alone, at the same place."""
    return activation_of(layer) is not None or isinstance(layer, _ELEMENTWISE)
