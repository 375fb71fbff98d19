"""Maxout: a unit that is the largest of several linear pieces."""

from __future__ import annotations

from torch import Tensor, nn

from chainrule.nn.guard import check_count


class Maxout(nn.Module):
    """A layer of maxout units, each the maximum of ``pieces`` linear functions::

        y_u = max over k of (sum over d of x_d W_ukd + b_uk)

    Where pieces tie (a kink), the gradient is shared evenly between them.

    Args:
        in_features: D, length of the input's last axis.
        units: number of outputs.
        pieces: linear functions per unit; 1 is a plain linear layer.
        bias: whether each piece has a bias.

    Shapes: (..., D) to (..., units). The pieces of unit u are the rows u * pieces to
    (u + 1) * pieces - 1 of ``linear.weight``, (units * pieces, D).

    Raises:
        NetworkError: a size is not a positive whole number.

    Source: I. Goodfellow et al., Maxout networks, ICML 2013.

    Examples:
        >>> import torch
        >>> layer = Maxout(1, units=1, pieces=2, bias=False)
        >>> _ = layer.linear.weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
        >>> layer(torch.tensor([[-3.0], [2.0]])).tolist()  # max(x, -x) = |x|
        [[3.0], [2.0]]
    """

    def __init__(self, in_features: int, units: int, pieces: int, bias: bool = True) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "units": units, "pieces": pieces}
        for name, size in sizes.items():
            check_count("Maxout", name, size, "a small layer is Maxout(64, units=32, pieces=2)")
        self.in_features, self.units, self.pieces = in_features, units, pieces
        self.linear = nn.Linear(in_features, units * pieces, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        pieces: Tensor = self.linear(x).unflatten(-1, (self.units, self.pieces))
        return pieces.amax(dim=-1)

    def extra_repr(self) -> str:
        return f"units={self.units}, pieces={self.pieces}"
