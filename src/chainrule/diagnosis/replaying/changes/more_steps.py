"""More steps: updates on captured minibatches, behind the end of a script or within its steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.changes.control import ShuffleLabels, rows_of

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


@dataclass(frozen=True)
class MoreSteps(Change):
    """Training goes on behind the end of the script, on minibatches that were captured.

    Args:
        times: how many times as many steps in all.
        most: steps that are added at most.
        within: extra steps within each step instead: smaller minibatches of its own examples.
    """

    times: float = 5.0
    most: int = 2000
    within: int = 0

    @property
    def title(self) -> str:
        if self.within:
            return f"{self.within + 1} updates in place of one, on parts of the minibatch"
        return f"{self.times:g} times as many steps"

    def after_step(self, live: Live, optimizer: Any) -> None:
        if self.within and not live.busy and optimizer is live.optimizers[0]:
            for _ in range(self.within):
                self._step(live, live.memory(self).setdefault("count", 0), 64)

    def go_on(self, live: Live) -> None:
        """The script has ended."""
        if self.within or not live.optimizers:
            return
        for count in range(min(self.most, int((self.times - 1) * live.step))):
            if not self._step(live, count, 0):
                return
            live.count()

    def _step(self, live: Live, count: int, examples: int) -> bool:
        """One update on a captured minibatch, or on a part of it."""
        live.memory(self)["count"] = count + 1
        stick = live.yardstick
        if stick is None or not stick.pool or not live.complete:
            return False
        item = stick.pool[count % len(stick.pool)]
        function = getattr(F, stick.function, None)
        if function is None or item.leaf < 0:
            return False
        args, target = item.args, item.target
        if examples and len(target) > examples:
            chosen = torch.randperm(len(target))[:examples]
            args = rows_of(args, chosen, len(target))
            target = target[chosen]
        if any(isinstance(change, ShuffleLabels) for change in live.changes):
            target = target[torch.randperm(len(target))]  # the control: nothing to be learned
        live.busy = True
        try:
            with training(live.networks), torch.enable_grad():
                value = replace(item, args=args).said(live.networks)
                if value is None:
                    return False
                for optimizer in live.optimizers:
                    optimizer.zero_grad()
                loss = function(value, target)
                loss.backward()
            for optimizer in live.optimizers:
                optimizer.step()
        finally:
            live.busy = False
        live.totals.append(float(loss.detach()))
        return True


@contextmanager
def training(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Networks in training mode; their modes afterwards as they were."""
    modules = [module for network in networks for module in network.modules()]
    modes = [module.training for module in modules]
    for network in networks:
        network.train()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
