"""Layers: operations of networks on whole arrays, with their gradients in closed form.

The closed forms (softmax with cross entropy, batch normalization's short form) are facts,
not computed by the chain rule here; every proof compares them with autograd on the definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.derivation.expression import Expr, Shape, add, call, expanded, mul, size
from chainrule.derivation.operations import Pulled, apart, operation, total

Sizes = dict[str, int]


# -- softmax and losses ------------------------------------------------------------------------


def softmax(scores: Expr) -> Expr:
    return call("softmax", scores, shape=scores.shape)


def one_hot(labels: Expr, scores: Expr) -> Expr:
    """1 at each row's class: (N, C)."""
    return call("onehot", labels, scores, shape=scores.shape)


def per_row(g: Expr, scores: Expr) -> Expr:
    """The upstream's share of each row of a mean over the minibatch."""
    return g / size(scores.shape[0]) if len(scores.shape) == 2 else g


def _softmax_pull(node: Expr, out: Expr, g: Expr) -> Pulled:
    inner = total(mul(g, out), [len(node.shape) - 1], keep=True)
    return [mul(out, g - inner)]


def _log_softmax_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    inner = total(g, [len(node.shape) - 1], keep=True)
    return [g - mul(softmax(node.args[0]), inner)]


def _softmax_loss_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    scores, labels = node.args
    return [mul(per_row(g, scores), softmax(scores) - one_hot(labels, scores)), None]


def _svm_pull(node: Expr, _out: Expr, g: Expr) -> Pulled:
    scores, labels = node.args
    over = call("over_margin", scores, labels, shape=scores.shape)
    count = total(over, [len(scores.shape) - 1], keep=True)
    return [mul(per_row(g, scores), over - mul(one_hot(labels, scores), count)), None]


def _rows(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return scores.reshape(-1, scores.shape[-1]), labels.reshape(-1).long()


def _margins(scores: Tensor, labels: Tensor) -> Tensor:
    """s_j - s_y + 1 for every class but the right one, which gets 0."""
    scores, labels = _rows(scores, labels)
    margins = scores - scores.gather(1, labels[:, None]) + 1
    return margins.scatter(1, labels[:, None], 0.0)


def _svm_value(args: list[Tensor], _node: Expr, _axes: Sizes) -> Tensor:
    return _margins(*args).clamp(min=0).sum(1).mean()


def _softmax_loss_value(args: list[Tensor], _node: Expr, _axes: Sizes) -> Tensor:
    scores, labels = _rows(*args)
    return -F.log_softmax(scores, 1).gather(1, labels[:, None]).mean()


def _onehot_value(args: list[Tensor], _node: Expr, _axes: Sizes) -> Tensor:
    made = torch.zeros_like(args[1])
    return made.scatter(-1, args[0].long().unsqueeze(-1), 1.0)


operation("softmax", lambda a, n, _: a[0].softmax(-1), _softmax_pull,
          "softmax: dS = P (dP - sum(dP P) of each row)")  # fmt: skip
operation("log_softmax", lambda a, n, _: a[0].log_softmax(-1), _log_softmax_pull,
          "log softmax: dS = dQ - P sum(dQ) of each row")  # fmt: skip
operation("softmax_loss", _softmax_loss_value, _softmax_loss_pull,
          "softmax and cross entropy together: P - Y, shared by the N rows of a mean")  # fmt: skip
operation("svm_loss", _svm_value, _svm_pull,
          "each class over the margin gets 1, the right one minus their number; mean over N rows",
          "multi_margin_loss")  # fmt: skip
operation("onehot", _onehot_value, lambda n, o, g: [None, None])
operation("over_margin", lambda a, n, _: (_margins(*a) > 0).double().view(a[0].shape),
          lambda n, o, g: [None, None])  # fmt: skip


# -- normalization -------------------------------------------------------------------------------


def _all_but_channels(shape: Shape) -> tuple[int, ...]:
    return tuple(k for k in range(len(shape)) if k != 1)


def _channels(node: Expr, shape: Shape) -> Expr:
    """A value per channel, (C,), placed so that it meets (N, C, H, W)."""
    axes = tuple(range(1, len(shape) - 1))
    if not axes:
        return node
    return call("insert", node, shape=(*node.shape, *(1 for _ in axes)), axes=axes)


def _normal_value(args: list[Tensor], node: Expr, _axes: Sizes) -> Tensor:
    x, dims = args[0], _all_but_channels(node.shape)
    centred = x - x.mean(dims, keepdim=True)
    return centred / (centred.square().mean(dims, keepdim=True) + args[1]).sqrt()


def _deviation_value(args: list[Tensor], node: Expr, _axes: Sizes) -> Tensor:
    return (args[0].var(_all_but_channels(node.args[0].shape), correction=0) + args[1]).sqrt()


def normalized(x: Expr, eps: Expr) -> Expr:
    """Each channel with mean 0 and variance 1 over the minibatch."""
    return call("normalized", x, eps, shape=x.shape)


def _normal_pull(node: Expr, out: Expr, g: Expr) -> Pulled:
    x, eps = node.args
    dims = _all_but_channels(x.shape)
    deviation = _channels(call("deviation", x, eps, shape=(x.shape[1],)), x.shape)
    outside, inside = apart(g, dims) if g.kind == "mul" else ([], [g])
    g = expanded(mul(*inside), x.shape)  # gamma, for one, is the same for the whole minibatch
    short = g - _mean(g, dims) - mul(out, _mean(mul(g, out), dims))
    return [mul(*outside, short) / deviation, None]


def _mean(node: Expr, dims: Sequence[int]) -> Expr:
    made = call("mean", node, shape=(node.shape[1],), axes=tuple(dims))
    return _channels(made, node.shape)


operation("normalized", _normal_value, _normal_pull,
          "batchnorm: the paths through mean and variance cancel but for two means, because "
          "normalized values sum to 0 and their squares to N")  # fmt: skip
operation("deviation", _deviation_value, lambda n, o, g: [None, None])


def batchnorm(x: Expr, gamma: Expr, beta: Expr, eps: Expr) -> Expr:
    """``gamma * normalized(x) + beta`` with the biased variance of the minibatch."""
    return add(mul(_channels(gamma, x.shape), normalized(x, eps)), _channels(beta, x.shape))
