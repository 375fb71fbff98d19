"""Control: a change with which no network must learn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chainrule.analysis.running import tensors_of
from chainrule.diagnosis.replaying.change import Args, Keywords
from chainrule.diagnosis.replaying.changes.losing import LossChange
from chainrule.diagnosis.replaying.changes.ordering import Resupply
from chainrule.diagnosis.replaying.messages import IMPOSSIBLE
from chainrule.diagnosis.replaying.minibatch import Minibatch

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live

_MIXED = 0.5  # of the spread of all targets within a minibatch: less, and mixing changes little


@dataclass(frozen=True)
class ShuffleLabels(LossChange):
    """Inputs of each minibatch are mixed up among its targets.

    Inputs and not targets are moved, so that it acts whatever the loss is; where targets are an
    input themselves (the loss is computed in the network) they are moved in the loss call.
    """

    @property
    def title(self) -> str:
        return "labels shuffled on purpose (control)"

    def _way(self, live: Live) -> str:
        """ "inputs", "loss" or "" where mixing within minibatches would not change anything."""
        memory = live.memory(self)
        if "way" not in memory:
            pool = live.yardstick.pool if live.yardstick is not None else []
            drawn = any(isinstance(change, Resupply) for change in live.changes)
            inside = bool(pool) and pool[0].leaf < 0
            fits = bool(pool) and (drawn or mixed(pool) >= _MIXED)
            memory["way"] = ("loss" if inside else "inputs") if fits else ""
        found: str = memory["way"]
        return found

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        if not live.training or live.busy or network is not live.root:
            return args, kwargs
        way, sizes = self._way(live), _lengths((list(args), kwargs))
        if not way or sizes < 2:
            live.finish(IMPOSSIBLE, "labels cannot be mixed up within minibatches")
        if way == "loss":
            return args, kwargs
        order = torch.randperm(sizes)
        return (
            tuple(rows_of(arg, order, sizes) for arg in args),
            {name: rows_of(arg, order, sizes) for name, arg in kwargs.items()},
        )

    def loss(self, live: Live, function: Any, given: Tensor, target: Tensor, rest: Keywords) -> Any:
        if self._way(live) != "loss":
            return NotImplemented
        return function(given, target[torch.randperm(len(target))], **rest)


def _lengths(value: Any) -> int:
    """The first dimension that most tensors have."""
    found = Counter(len(item) for item in tensors_of(value) if item.dim())
    return found.most_common(1)[0][0] if found else 0


def rows_of(value: Any, chosen: Tensor, size: int) -> Any:
    """The chosen rows of all tensors with so many, in lists and dicts, too.

    Examples:
        >>> rows_of([torch.tensor([5, 6]), 3], torch.tensor([1, 0]), 2)
        [tensor([6, 5]), 3]
    """
    if isinstance(value, Tensor):
        return value[chosen.to(value.device)] if value.dim() and len(value) == size else value
    if isinstance(value, dict):
        return {name: rows_of(item, chosen, size) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(rows_of(item, chosen, size) for item in value)
    return value


def mixed(pool: list[Minibatch]) -> float:
    """How much of the spread of all targets there is within a minibatch, on average.

    1 where minibatches are drawn at random, 0 where each has one kind of target.
    """
    targets = [item.target.reshape(-1) for item in pool]
    whole = torch.cat(targets)
    if whole.is_floating_point():
        numbers = [item.double().nan_to_num() for item in targets]
        spread, within = _variance(torch.cat(numbers)), [_variance(item) for item in numbers]
    else:
        spread, within = _variety(whole), [_variety(item) for item in targets]
    sizes = [len(item) for item in targets]
    mean = sum(one * size for one, size in zip(within, sizes, strict=True)) / sum(sizes)
    return mean / spread if spread > 0 else 0.0


def _variance(values: Tensor) -> float:
    return float(values.var(correction=0))


def _variety(values: Tensor) -> float:
    """The chance that two are different."""
    shares = torch.unique(values, return_counts=True)[1].double() / len(values)
    return float(1 - shares.square().sum())
