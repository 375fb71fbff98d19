"""NetworkTable: the layers of a network with their volumes and parameters."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.answer import Answer


@dataclass(frozen=True)
class LayerRow(Answer):
    """One layer.

    Attributes:
        name: its path in the module tree ("conv1", "res2.branch.conv1").
        operation: its class ("Conv2d") or notation ("CONV5-10").
        output: activation volume of one example, (C, H, W) or (features,); None if unknown.
        parameters: number of parameters it owns; a shared one counts where it is first seen.
        trainable: how many of them require a gradient.
        note: what a reader should know ("3 of 32 columns never seen"), "" when nothing.
    """

    name: str
    operation: str
    output: tuple[int, ...] | None
    parameters: int
    trainable: int
    note: str = ""


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
