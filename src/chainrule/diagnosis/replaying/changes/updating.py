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
class AddMissing(Change):
    """Parameters that get gradients and that no optimizer holds are updated like the others."""

    unfreeze: bool = False

    @property
    def title(self) -> str:
        frozen = "frozen parameters unfrozen, and " if self.unfreeze else ""
        return f"{frozen}parameters without an optimizer given to it"

    def meet(self, live: Live, network: nn.Module) -> None:
        if self.unfreeze:
            for item in network.parameters():
                if item.is_floating_point():
                    item.requires_grad_(True)

    def backward(self, live: Live, total: Tensor) -> Tensor:
        live.memory(self).setdefault("leaves", leaves_of([total]))
        return total

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        update_missing(self, live, optimizer)


@dataclass(frozen=True)
class StepIt(Change):
    """Optimizers that the script made and never uses update after each ``backward``."""

    @property
    def title(self) -> str:
        return "the optimizer steps after each backward()"

    def gradients(self, live: Live) -> None:
        for rule in live.cast.rules:
            optimizer = rule.optimizer()
            if optimizer is not None and any(item.grad is not None for item in held([optimizer])):
                optimizer.step()


@dataclass(frozen=True)
class KeepGradients(Change):
    """Gradients that are cleared between ``backward`` and the update are still there for it."""

    @property
    def title(self) -> str:
        return "gradients kept until the update"

    def gradients(self, live: Live) -> None:
        live.memory(self)["kept"] = [
            (item, item.grad) for item in all_parameters(live) if item.grad is not None
        ]
        for item, gradient in live.memory(self)["kept"]:
            item.grad = gradient.clone()  # what the script does to it in place leaves ours alone

    def before_step(self, live: Live, optimizer: Optimizer) -> None:
        own = {id(item) for item in held([optimizer])}
        for item, gradient in live.memory(self).get("kept", ()):
            if id(item) in own and (item.grad is None or not bool(item.grad.any())):
                item.grad = gradient
                live.memory(self).setdefault("lent", []).append(item)

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        for item in live.memory(self).pop("lent", ()):
            item.grad = None  # as the script had left it


def exchange(live: Live, old: Tensor, new: Tensor) -> None:
    """A parameter takes the place of another in the optimizers that were made before."""
    for rule in live.cast.rules:
        optimizer = rule.optimizer()
        for group in optimizer.param_groups if optimizer is not None else ():
            group["params"] = [new if item is old else item for item in group["params"]]


def resize(live: Live, layer: nn.Linear, inputs: int, outputs: int) -> None:
    """A layer of another size, drawn anew; optimizers hold the new weights for the old ones."""
    fresh = nn.Linear(inputs, outputs, layer.bias is not None)
    exchange(live, layer.weight, fresh.weight)
    layer.weight, layer.in_features, layer.out_features = fresh.weight, inputs, outputs
    if layer.bias is not None:
        exchange(live, layer.bias, fresh.bias)
        layer.bias = fresh.bias


def update_missing(change: Change, live: Live, optimizer: Optimizer) -> None:
    """Update with a rule like the given one what no optimizer holds."""
    memory = live.memory(change)
    if live.optimizers and optimizer is not live.optimizers[0]:
        return
    known = {id(item) for item in held(live.optimizers)}
    missing = memory.get("missing")
    if missing is None:
        leaves = [item for item in memory.get("leaves", ()) if isinstance(item, nn.Parameter)]
        own = [item for network in live.networks for item in network.parameters()]
        candidates = {id(item): item for item in (*leaves, *own) if item.requires_grad}
        missing = [item for key, item in candidates.items() if key not in known]
        memory["missing"] = missing
        if missing:
            memory["rule"] = like(optimizer, missing)
    if not missing:
        return
    rule: Optimizer = memory["rule"]
    for group in rule.param_groups:
        group["lr"] = optimizer.param_groups[0].get("lr", group.get("lr"))
    live.busy = True
    rule.step()
    rule.zero_grad()
    live.busy = False


def like(optimizer: Optimizer, parameters: list[Any]) -> Optimizer:
    """An optimizer of the same class with the same settings for other parameters."""
    try:
        return type(optimizer)(parameters, **optimizer.defaults)
    except TypeError:
        return torch.optim.Adam(parameters, lr=1e-3)


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
