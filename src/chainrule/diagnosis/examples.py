"""Examples: the first minibatches and weights, kept to be looked at when the training is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.running import first_tensor
from chainrule.analysis.twin import unwrapped, with_weights
from chainrule.diagnosis.opaque import plain
from chainrule.diagnosis.turn import Turn

_EXAMPLES = 512
_BYTES = 32 * 2**20
_WEIGHTS = 512 * 2**20  # networks with more bytes of weights are not copied


@dataclass(eq=False)
class Examples:
    """What the network was fed with at the start.

    Attributes:
        inputs, targets: minibatches, one entry each.
        network: a copy of the network before its first update; None where there is none.
        name: of the network.
        loss: (scores, targets) -> mean loss, as the script computes it; None where unknown.
        why: why something was not kept.
    """

    inputs: list[Tensor] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)
    network: nn.Module | None = None
    name: str = ""
    task: str = ""
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    full: bool = False
    why: str = ""
    _bytes: int = 0

    def keep_network(self, turn: Turn) -> None:
        """Copy the network of the first step, if there is one and it is not too large."""
        models = {id(item.model): item.model for item in turn.passes}
        if len(models) != 1:
            self.why = "no network" if not models else f"{len(models)} networks in the first step"
            return
        model = next(iter(models.values()))
        called = turn.passes[-1]
        if len(called.args) != 1 or called.kwargs:
            self.why = "it takes more than one positional argument"
            return
        module = model.module()
        if module is None:
            return
        size = sum(item.numel() * item.element_size() for item in module.parameters())
        if size > _WEIGHTS:
            self.why = f"its weights take {size / 2**20:,.0f} MiB"
            return
        if _is_part_of_framework(module):
            self.why = "it holds its trainer"
            return
        self.name = model.name
        self.network = with_weights(unwrapped(module))

    def add(self, turn: Turn) -> None:
        """Keep a minibatch, until there are enough."""
        call = next((item for item in reversed(turn.calls) if item.target is not None), None)
        if len(turn.passes) != 1 or call is None or call.target is None:
            return
        given = first_tensor((turn.passes[0].args, turn.passes[0].kwargs))
        given = None if given is None else plain(given)
        if given is None or not given.dim() or not call.target.dim():
            return
        if len(given) != len(call.target) or len(turn.calls) > max(len(turn.backwards), 1):
            return
        if self.loss is None and call.again is not None and not call.chain:
            self.loss = call.again
        self.task = call.kind.task
        size = given.numel() * given.element_size()
        if self._bytes + size > _BYTES and self.inputs:
            self.full = True
            return
        self.inputs.append(given.detach().cpu().clone())
        self.targets.append(call.target.detach().cpu().clone())
        self._bytes += size
        self.full = sum(map(len, self.inputs)) >= _EXAMPLES

    def together(self) -> tuple[Tensor, Tensor] | None:
        """All kept examples in one minibatch; None where their shapes differ."""
        kinds = {(item.shape[1:], item.dtype) for item in self.inputs}
        if len(kinds) != 1 or len({item.shape[1:] for item in self.targets}) != 1:
            return None
        return torch.cat(self.inputs), torch.cat(self.targets)


def _is_part_of_framework(module: Any) -> bool:
    """Networks that hold their trainer, its loaders and loggers: a copy would copy all of them."""
    return any(
        name in getattr(module, "__dict__", {}) for name in ("_trainer", "_fabric", "trainer")
    )
