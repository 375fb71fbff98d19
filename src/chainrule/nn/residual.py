"""Residual: the sum of a shortcut and a branch."""

from __future__ import annotations

import torch.fx
from torch import Tensor, nn

from chainrule.errors import ShapeError
from chainrule.nn.guard import check_probability
from chainrule.nn.stochastic_depth import StochasticDepth


@torch.fx.wrap  # compares shapes, which a symbolic trace does not know
def residual_sum(shortcut: Tensor, branch: Tensor) -> Tensor:
    """``shortcut + branch``, of equal shapes (nothing is broadcast).

    Raises:
        ShapeError: the shapes differ.

    Examples:
        >>> residual_sum(torch.ones(2), torch.ones(2))
        tensor([2., 2.])
    """
    if shortcut.shape != branch.shape:
        raise ShapeError(
            f"Residual: the branch gives {tuple(branch.shape)}, the shortcut "
            f"{tuple(shortcut.shape)}; their shapes must be equal: give the branch the shortcut's "
            "channels and stride, or pass a shortcut such as a 1x1 convolution"
        )
    return shortcut + branch


class Residual(nn.Module):
    """A block that learns what to add to its input: ``y = shortcut(x) + drop_path(branch(x))``.

    Args:
        branch: the layers that are learned.
        shortcut: the way around them; None for the identity.
        p: probability of dropping the branch of an example in training, in [0, 1); at 0 there
            is no submodule ``drop_path``.

    Shapes: (N, ...) to whatever branch and shortcut both give.

    Raises:
        NetworkError: ``p`` outside [0, 1).
        ShapeError: in the forward pass, if branch and shortcut give unequal shapes.

    Source: K. He et al., Deep residual learning for image recognition, CVPR 2016.

    Examples:
        >>> block = Residual(nn.Linear(4, 4), p=0.1)
        >>> [name for name, _ in block.named_children()]
        ['branch', 'shortcut', 'drop_path']
    """

    def __init__(
        self, branch: nn.Module, shortcut: nn.Module | None = None, p: float = 0.0
    ) -> None:
        super().__init__()
        self.p = check_probability("Residual", p)
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        if self.p > 0:
            self.drop_path = StochasticDepth(self.p)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch(x)
        if self.p > 0:
            branch = self.drop_path(branch)
        return residual_sum(self.shortcut(x), branch)
