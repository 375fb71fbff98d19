"""DropConnect: dropout of single weights instead of whole activations.

In training every weight is dropped (set to 0) with probability p and the others are scaled
by 1/(1-p), so that the expected output is the output in eval mode, which is the plain layer's.
Biases are kept. One mask is drawn per forward pass and serves the whole minibatch; Wan et al.
draw one mask per example, which costs a weight matrix per example and has the same
expectation, but their masks are independent between the examples of a minibatch.

Source: L. Wan et al., Regularization of neural networks using DropConnect, ICML 2013.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.nn.guard import check_probability

Size = int | tuple[int, int]


class DropConnectLinear(nn.Linear):
    """A linear layer that drops weights in training: ``y = x (M * W)^T / (1-p) + b``.

    M holds independent 0 (probability p) and 1 (probability 1-p), one mask per minibatch.

    Args:
        in_features: length of the input's last axis.
        out_features: number of outputs.
        p: probability of dropping a weight, in [0, 1).
        bias: whether there is a bias (never dropped).
        device: where the parameters live.
        dtype: dtype of the parameters.

    Shapes: (..., in_features) to (..., out_features).

    Raises:
        NetworkError: ``p`` outside [0, 1).

    Examples:
        >>> layer = DropConnectLinear(3, 2, p=0.5)
        >>> x = torch.ones(4, 3)
        >>> torch.equal(layer.eval()(x), F.linear(x, layer.weight, layer.bias))
        True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        p: float = 0.5,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.p = check_probability("DropConnectLinear", p)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.dropout(self.weight, self.p, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"


class DropConnectConv2d(nn.Conv2d):
    """A convolution that drops single filter weights in training.

    The filters become ``M * W / (1-p)``, with M of independent 0 (probability p) and 1
    (probability 1-p), one mask per minibatch and the same at every position.

    Args:
        in_channels: C.
        out_channels: F, number of filters.
        kernel_size: height and width of the filters (pixels).
        stride: step of the filters (pixels).
        padding: zeros added on each side (pixels), or ``"same"`` or ``"valid"``.
        dilation: distance between filter taps (pixels).
        groups: number of groups of channels that do not see each other.
        bias: whether there is a bias (never dropped).
        padding_mode: as ``torch.nn.Conv2d``.
        p: probability of dropping a weight, in [0, 1).
        device: where the parameters live.
        dtype: dtype of the parameters.

    Shapes: (N, C, H, W) to (N, F, H', W').

    Raises:
        NetworkError: ``p`` outside [0, 1).

    Examples:
        >>> layer = DropConnectConv2d(3, 8, 5, padding=2, p=0.5)
        >>> tuple(layer(torch.ones(4, 3, 16, 16)).shape)
        (4, 8, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        p: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,  # type: ignore[arg-type]  # checked by Conv2d itself
            device,
            dtype,
        )
        self.p = check_probability("DropConnectConv2d", p)

    def forward(self, x: Tensor) -> Tensor:
        weight = F.dropout(self.weight, self.p, self.training)
        y: Tensor = self._conv_forward(x, weight, self.bias)
        return y

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"  # type: ignore[no-untyped-call]
