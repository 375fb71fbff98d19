"""Feeding: changes of the data: scaling, order, pairing, cleaning, noise, size of minibatches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.replaying.changes.losing import LossChange
from chainrule.diagnosis.replaying.layout import laid_out
from chainrule.diagnosis.replaying.minibatch import Minibatch, pooled_inputs

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live

_FLOOR = 1e-8


def _first_float(args: tuple[Any, ...]) -> int | None:
    return next(
        (place for place, item in enumerate(args)
         if isinstance(item, Tensor) and item.is_floating_point()), None,
    )  # fmt: skip


def _axes(value: Tensor) -> list[int]:
    """Over which axes statistics go: all but the features (vectors, sequences) or channels."""
    if value.dim() == 3:
        return [0, 1]
    return [0, *range(2, value.dim())]


@dataclass(frozen=True)
class StandardizeInputs(Change):
    """Inputs get zero mean and unit variance, per feature or channel."""

    @property
    def title(self) -> str:
        return "inputs standardized"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        place = _first_float(args)
        if (network is not live.root and live.root is not None) or place is None:
            return args, kwargs
        memory = live.memory(self)
        if "mean" not in memory:
            pooled = pooled_inputs(live.yardstick.pool if live.yardstick else [])
            if pooled is None:
                memory["mean"] = None
            else:
                pooled = torch.where(pooled.isfinite(), pooled, torch.zeros_like(pooled)).double()
                axes = _axes(pooled)
                std, mean = torch.std_mean(pooled, axes, correction=0, keepdim=True)
                memory["mean"] = mean
                memory["std"] = torch.where(std > _FLOOR, std, torch.ones_like(std))
        if memory["mean"] is None or args[place].dim() != memory["mean"].dim():
            return args, kwargs
        value = ((args[place].double() - memory["mean"]) / memory["std"]).to(args[place].dtype)
        return (*args[:place], value, *args[place + 1 :]), kwargs


@dataclass(frozen=True)
class AddNoise(Change):
    """Noise on the inputs while training, in units of their standard deviation."""

    share: float = 0.3

    @property
    def title(self) -> str:
        return f"noise of {self.share:g} standard deviations on the inputs"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        place = _first_float(args)
        if place is None or not live.training or live.busy or network is not live.root:
            return args, kwargs
        memory = live.memory(self)
        if "std" not in memory:
            found = _statistics(live.yardstick.pool if live.yardstick else [])
            memory["std"] = None if found is None else found[1]
        if memory["std"] is None:
            return args, kwargs
        value = args[place]
        noise = self.share * memory["std"].to(value.dtype) * torch.randn_like(value)
        return (*args[:place], value + noise, *args[place + 1 :]), kwargs


@dataclass(frozen=True)
class StandardizeTargets(Change):
    """The network says standardized numbers: they are scaled to the targets, the loss scaled back.

    The same as training on standardized targets, and seen from outside the same network.
    """

    mean: float = 0.0
    std: float = 1.0
    power: int = 2  # of the size of targets in the loss

    @property
    def title(self) -> str:
        return "targets standardized"

    def returned(self, live: Live, network: nn.Module, output: Any) -> Any:
        if network is not live.speaker or not isinstance(output, Tensor):
            return output
        return output * self.std + self.mean

    def backward(self, live: Live, total: Tensor) -> Tensor:
        return total / self.std**self.power


@dataclass(frozen=True)
class CleanData(LossChange):
    """Examples with values that are not finite count for nothing."""

    @property
    def title(self) -> str:
        return "values that are not finite set to 0"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        return tuple(_cleaned(item) for item in args), {
            name: _cleaned(item) for name, item in kwargs.items()
        }

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        if not target.is_floating_point() or bool(target.isfinite().all()):
            return NotImplemented
        if target.shape == given.shape:
            target = torch.where(target.isfinite(), target, given.detach())
        return function(given, target.nan_to_num(0.0, 0.0, 0.0), **rest)


def _cleaned(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.nan_to_num(0.0, 0.0, 0.0)
    return value


@dataclass(frozen=True)
class MatchStatistics(Change):
    """What is evaluated on is brought to the mean and variance of what is trained on."""

    @property
    def title(self) -> str:
        return "evaluation inputs on the scale of the training inputs"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        place = _first_float(args)
        if not live.held_back or place is None or network is not live.root:
            return args, kwargs
        memory = live.memory(self)
        if "train" not in memory:
            memory["train"] = _statistics(live.yardstick.pool if live.yardstick else [])
            memory["held"] = _statistics(live.yardstick.held if live.yardstick else [])
        if memory["train"] is None or memory["held"] is None:
            return args, kwargs
        (mean, std), (other, spread) = memory["train"], memory["held"]
        value = (args[place].double() - other) / spread * std + mean
        return (*args[:place], value.to(args[place].dtype), *args[place + 1 :]), kwargs


@dataclass(frozen=True)
class LayOut(Change):
    """The features of what is evaluated on are put where they are in what is trained on."""

    layout: str = "mirrored"

    @property
    def title(self) -> str:
        return f"evaluation inputs {self.layout}"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        place = _first_float(args)
        if not live.held_back or place is None or network is not live.root:
            return args, kwargs
        memory = live.memory(self)
        if "known" not in memory and live.yardstick is not None:
            sets = (live.yardstick.pool, live.yardstick.held)
            memory["known"] = tuple(map(pooled_inputs, sets))
        ours, theirs = memory.get("known", (None, None))
        known = ours is not None and theirs is not None
        value = laid_out(self.layout, args[place], ours, theirs) if known else None
        return args if value is None else (*args[:place], value, *args[place + 1 :]), kwargs


def _statistics(items: list[Minibatch]) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation per feature or channel."""
    found = pooled_inputs(items)
    if found is None:
        return None
    pooled = found.double()
    axes = _axes(pooled)
    std, mean = torch.std_mean(pooled, axes, correction=0, keepdim=True)
    return mean, torch.where(std > _FLOOR, std, torch.ones_like(std))
