"""Global average pooling: the mean of each channel."""

from __future__ import annotations

from torch import Tensor, nn


class GlobalAveragePool(nn.Module):
    """The mean over height and width: a volume becomes a vector.

    Shapes: (N, C, H, W) to (N, C).

    Source: M. Lin, Q. Chen, S. Yan, Network in network, ICLR 2014, section 3.2.

    Examples:
        >>> import torch
        >>> GlobalAveragePool()(torch.ones(2, 3, 4, 4)).shape
        torch.Size([2, 3])
    """

    def forward(self, volume: Tensor) -> Tensor:
        """Mean of each channel, (N, C)."""
        return volume.mean((2, 3))
