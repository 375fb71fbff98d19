"""NetworkTable: the short form of a description, kept with every training run."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from chainrule.analysis.describe import describe
from chainrule.answer import Answer
from chainrule.errors import ChainruleError


@dataclass(frozen=True)
class LayerRow(Answer):
    """One layer.

    Attributes:
        name: its path in the module tree ("conv1", "res2.branch.conv1").
        operation: its class with the sizes that matter ("Conv2d 5x5, stride 2").
        output: activation volume of one example, (C, H, W) or (features,); None if unknown.
        parameters: number of parameters it owns; a shared one counts where it is first seen.
        trainable: how many of them require a gradient.
        note: what a reader should know ("the last row of 7 is never seen"), "" when nothing.
        formula: how its parameters come about ("10 x (5x5x1 + 1)"), "" when it has none.
    """

    name: str
    operation: str
    output: tuple[int, ...] | None
    parameters: int
    trainable: int
    note: str = ""
    formula: str = ""


@dataclass(frozen=True)
class NetworkTable(Answer):
    """The layers of a network in the order in which they compute.

    Attributes:
        network: how the network was named.
        input: shape of one example, (C, H, W) or (features,).
        rows: one per layer that computes.
        parameters: number of parameters of the whole network.
        trainable: how many of them require a gradient.
    """

    network: str
    input: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    parameters: int
    trainable: int


def network_table(module: nn.Module, shape: tuple[int, ...], name: str = "") -> NetworkTable:
    """The layers of ``module`` for examples of ``shape``, without running or changing it.

    The short form of ``describe``, for the record of a training run. A network that cannot be
    followed has no rows; training it will say why.

    Args:
        module: any module that takes one tensor (N, *shape).
        shape: shape of one example, without the minibatch axis.
        name: how the network was named.

    Examples:
        >>> table = network_table(nn.Sequential(nn.Linear(3, 2)), (3,))
        >>> table.rows[0].output, table.parameters
        ((2,), 8)
    """
    parameters = list(module.parameters())
    total = sum(item.numel() for item in parameters)
    trainable = sum(item.numel() for item in parameters if item.requires_grad)
    try:
        layers = describe(module, shape).layers
    except ChainruleError:
        layers = ()
    rows = tuple(
        LayerRow(
            layer.name,
            layer.operation,
            layer.output,
            layer.parameters,
            layer.trainable,
            layer.note,
            layer.formula,
        )
        for layer in layers
    )
    return NetworkTable(name or type(module).__name__, shape, rows, total, trainable)
