"""Train your own module: python examples/own_network.py"""

from __future__ import annotations

import sys

from torch import Tensor, nn

import chainrule


class TwoLayerNet(nn.Module):
    """Two fully connected layers on 8x8 digits."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(64, hidden)
        self.second = nn.Linear(hidden, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, 10) of images (N, 1, 8, 8)."""
        return self.second(self.first(images.flatten(1)).relu())


if __name__ == "__main__":
    runs = sys.argv[1] if len(sys.argv) > 1 else "runs"
    print(chainrule.train(TwoLayerNet(hidden=32), "digits", epochs=5, runs=runs))
