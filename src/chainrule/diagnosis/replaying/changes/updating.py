"""Updating: changes of the learning rate, the update rule, decay, momentum, clipping, gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chainrule.diagnosis.parameters import held, leaves_of
from chainrule.diagnosis.replaying.change import Change

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


def all_parameters(live: Live) -> list[Tensor]:
    """The parameters of all networks and optimizers, each once."""
    found = {id(item): item for network in live.networks for item in network.parameters()}
    found.update((id(item), item) for item in held(live.optimizers))
    return list(found.values())


def keep_weights(change: Change, live: Live, optimizer: Optimizer) -> None:
    """Before an update: remember the weights."""
    weights = [item.detach().clone() for item in held([optimizer])]
    live.memory(change)[f"weights {id(optimizer)}"] = weights


def put_back(change: Change, live: Live, optimizer: Optimizer) -> None:
    """After it: as if there had been none, if the weights were remembered."""
    weights = live.memory(change).pop(f"weights {id(optimizer)}", None)
    if weights is not None:
        with torch.no_grad():
            for item, value in zip(held([optimizer]), weights, strict=True):
                item.copy_(value)


class _ForOneStep(Change):
    """Settings of parameter groups that are others during the update, and afterwards as before."""

    late: ClassVar[bool] = True

    def setting(self, live: Live, number: int, group: dict[str, Any]) -> dict[str, Any]:
        """The changed settings of a group."""
        raise NotImplementedError

    def before_step(self, live: Live, optimizer: Optimizer) -> None:
        kept = []
        for number, group in enumerate(optimizer.param_groups):
            changed = self.setting(live, number, group)
            kept.append({name: group[name] for name in changed if name in group})
            group.update({name: value for name, value in changed.items() if name in group})
        live.memory(self)[f"kept {id(optimizer)}"] = kept

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        for group, before in zip(
            optimizer.param_groups, live.memory(self).pop(f"kept {id(optimizer)}", []), strict=False
        ):
            group.update(before)


@dataclass(frozen=True)
class ScaleRate(_ForOneStep):
    """The learning rate is multiplied; without an optimizer, the gradient."""

    factor: float

    @property
    def title(self) -> str:
        return f"learning rate x {self.factor:g}"

    def setting(self, live: Live, number: int, group: dict[str, Any]) -> dict[str, Any]:
        return {"lr": group.get("lr", 0.0) * self.factor}

    def backward(self, live: Live, total: Tensor) -> Tensor:
        if not live.optimizers and not live.cast.rules:
            live.memory(self)["leaves"] = leaves_of([total])
        return total

    def gradients(self, live: Live) -> None:
        for item in live.memory(self).pop("leaves", ()):
            if item.grad is not None:
                item.grad.mul_(self.factor)


@dataclass(frozen=True)
class HoldRate(_ForOneStep):
    """The learning rate stays at the highest that it has had."""

    @property
    def title(self) -> str:
        return "learning rate held at its highest"

    def setting(self, live: Live, number: int, group: dict[str, Any]) -> dict[str, Any]:
        highest = live.memory(self)
        name = f"group {number}"
        start = float(group.get("initial_lr", group.get("lr", 0.0)))
        highest[name] = max(highest.get(name, start), float(group.get("lr", 0.0)))
        return {"lr": highest[name]}


@dataclass(frozen=True)
class SetMomentum(_ForOneStep):
    """Another momentum."""

    value: float = 0.9

    @property
    def title(self) -> str:
        return f"momentum {self.value:g}"

    def setting(self, live: Live, number: int, group: dict[str, Any]) -> dict[str, Any]:
        if "betas" in group:
            return {"betas": (self.value, min(group["betas"][1], 0.999))}
        return {"momentum": self.value, "dampening": 0}


@dataclass(frozen=True)
class DropDecay(_ForOneStep):
    """No weight decay by the optimizer."""

    @property
    def title(self) -> str:
        return "no weight decay"

    def setting(self, live: Live, number: int, group: dict[str, Any]) -> dict[str, Any]:
        return {"weight_decay": 0.0}


@dataclass(frozen=True)
class AddDecay(Change):
    """Weights are pulled to zero, in proportion to the learning rate."""

    decay: float = 0.01

    @property
    def title(self) -> str:
        return f"weight decay {self.decay:g}"

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        with torch.no_grad():
            for group in optimizer.param_groups:
                for item in group["params"]:
                    if item.dim() > 1:
                        item.mul_(1 - min(0.5, float(group.get("lr", 1e-3)) * self.decay))


@dataclass(frozen=True)
class StopEarly(Change):
    """The network is left alone after a share of its steps."""

    share: float = 0.2

    @property
    def title(self) -> str:
        return f"training stopped after {self.share:.0%} of its steps".replace("%", " %")

    def before_step(self, live: Live, optimizer: Optimizer) -> None:
        if live.step >= self.share * max(live.job.marks, default=1):
            keep_weights(self, live, optimizer)

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        put_back(self, live, optimizer)


@dataclass(frozen=True)
class ReplaceRule(Change):
    """Another update rule with its customary settings; weight decay stays."""

    rule: str = "Adam"
    rate: float = 1e-3

    @property
    def title(self) -> str:
        return f"{self.rule} with a learning rate of {self.rate:g}"

    def before_step(self, live: Live, optimizer: Optimizer) -> None:
        keep_weights(self, live, optimizer)

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        put_back(self, live, optimizer)
        rules = live.memory(self).setdefault("rules", {})
        if id(optimizer) not in rules:
            rules[id(optimizer)] = self._made(optimizer)
        live.busy = True
        rules[id(optimizer)].step()
        live.busy = False

    def _made(self, optimizer: Optimizer) -> Optimizer:
        groups = [
            {"params": group["params"], "weight_decay": group.get("weight_decay", 0.0)}
            for group in optimizer.param_groups
        ]
        if self.rule == "Adam":
            return torch.optim.Adam(groups, lr=self.rate)
        return torch.optim.SGD(groups, lr=self.rate, momentum=0.9)


@dataclass(frozen=True)
class ClearGradients(Change):
    """Gradients are cleared before the first ``backward`` of each step."""

    @property
    def title(self) -> str:
        return "gradients cleared before backward"

    def backward(self, live: Live, total: Tensor) -> Tensor:
        if live.memory(self).pop("stepped", True):
            for item in all_parameters(live):
                item.grad = None
        return total

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        live.memory(self)["stepped"] = True


@dataclass(frozen=True)
class NoClipping(Change):
    """The update gets the gradients as ``backward`` left them."""

    @property
    def title(self) -> str:
        return "gradients not clipped"

    def gradients(self, live: Live) -> None:
        live.memory(self)["gradients"] = [
            (item, item.grad.detach().clone())
            for item in all_parameters(live) if item.grad is not None
        ]  # fmt: skip

    def before_step(self, live: Live, optimizer: Optimizer) -> None:
        with torch.no_grad():
            for item, gradient in live.memory(self).get("gradients", ()):
                if item.grad is not None:
                    item.grad.copy_(gradient)


@dataclass(frozen=True)
class ClipGradients(Change):
    """Gradients are clipped by their norm."""

    norm: float = 1.0

    @property
    def title(self) -> str:
        return f"gradients clipped at a norm of {self.norm:g}"

    def before_step(self, live: Live, optimizer: Optimizer) -> None:
        nn.utils.clip_grad_norm_(held([optimizer]), self.norm)
