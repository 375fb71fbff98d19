"""Stochastic depth: in training a whole branch is skipped for some of the examples."""

from __future__ import annotations

from torch import Tensor, nn

from chainrule.nn.guard import check_probability


def drop_examples(x: Tensor, p: float) -> Tensor:
    """``x`` with each example set to 0 with probability p and the others divided by 1-p.

    Args:
        x: (N, ...).
        p: probability of dropping an example, in [0, 1).

    Examples:
        >>> import torch
        >>> drop_examples(torch.ones(3, 2), 0.0).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    kept = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - p)
    return x * kept.div_(1 - p)


class StochasticDepth(nn.Module):
    """Drops a branch per example in training ("drop path"), passes it on in eval mode::

        y_n = x_n b_n / (1-p),   b_n = 0 with probability p, else 1

    Division by 1-p keeps the expectation, so that eval mode is the identity (Huang et al.
    scale by 1-p in eval mode instead; the expected outputs differ by that factor alone).

    Args:
        p: probability of dropping an example's branch, in [0, 1).

    Shapes: (N, ...) to (N, ...).

    Raises:
        NetworkError: ``p`` outside [0, 1).

    Source: G. Huang et al., Deep networks with stochastic depth, ECCV 2016.

    Examples:
        >>> import torch
        >>> x = torch.ones(2, 3)
        >>> torch.equal(StochasticDepth(0.2).eval()(x), x)
        True
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = check_probability("StochasticDepth", p)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return drop_examples(x, self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"
