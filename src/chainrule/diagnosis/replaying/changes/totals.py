"""Totals: changes of the number that ``backward`` is called on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from chainrule.diagnosis.losses import LOSS_KINDS
from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.tail import Tail

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


@dataclass(frozen=True)
class ScaleLoss(Change):
    """The number that ``backward`` is called on is multiplied."""

    moves_loss: ClassVar[bool] = True
    factor: float

    @property
    def title(self) -> str:
        if self.factor == -1:
            return "sign of the loss flipped"
        return f"loss x {self.factor:.3g}"

    def backward(self, live: Live, total: Tensor) -> Tensor:
        return total * self.factor


@dataclass(frozen=True)
class DropPenalty(Change):
    """``backward`` is called on the loss alone, without what was added to it."""

    moves_loss: ClassVar[bool] = True
    hears: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "no penalty in the loss"

    def returned(self, live: Live, network: nn.Module, output: Any) -> Any:
        if live.training and not live.busy:
            tail = Tail()
            tail.begin(output)
            live.memory(self).update(tail=tail, losses=[])
        return output

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        memory = live.memory(self)
        tail: Tail | None = memory.get("tail")
        if tail is None or live.inside or live.busy or not torch.is_grad_enabled():
            return NotImplemented
        output = function(*args, **kwargs)
        before = len(tail.calls)
        tail.hear(function, args, kwargs, output)
        memory["losses"] += [output] * (len(tail.calls) - before)
        return output

    def backward(self, live: Live, total: Tensor) -> Tensor:
        memory = live.memory(self)
        tail: Tail | None = memory.get("tail")
        losses = memory.get("losses", [])
        memory["tail"] = None
        if tail is None or not losses:
            return total
        scale = tail.split(total).scale or 1.0
        known = [
            loss for loss, call in zip(losses, tail.calls, strict=False)
            if call.name in LOSS_KINDS or call.written_out
        ]  # fmt: skip
        return scale * known[0].sum() if known else total
