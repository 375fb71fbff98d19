"""Graph: changes that let gradients reach all weights, and weights follow them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chainrule.diagnosis.losses import is_loss
from chainrule.diagnosis.parameters import held, leaves_of
from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.replaying.changes.fresh import update_missing
from chainrule.diagnosis.replaying.changes.losing import name_of_function
from chainrule.diagnosis.replaying.changes.updating import all_parameters

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


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


@dataclass(frozen=True)
class KeepGraph(Change):
    """What cuts the graph inside the network, or behind the loss, leaves it whole."""

    hears: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "nothing detached in the forward pass"

    def meet(self, live: Live, network: nn.Module) -> None:
        if live.memory(self).setdefault("patched", False):
            return
        live.memory(self)["patched"] = True
        original = torch.no_grad.__enter__

        def enter(manager: Any) -> None:
            manager.prev = torch.is_grad_enabled()
            if not (live.inside and live.training):
                original(manager)

        torch.no_grad.__enter__ = enter  # type: ignore[method-assign]
        tensor = torch.tensor

        def made(data: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(data, Tensor) and live.training and not live.busy:
                return data * 1
            return tensor(data, *args, **kwargs)

        torch.tensor = made

    def backward(self, live: Live, total: Tensor) -> Tensor:
        """Called on a number without a graph: on the loss that has this value, if one was heard."""
        loss = live.memory(self).pop("loss", None)
        cut = total.grad_fn is None and loss is not None
        return loss if cut and torch.equal(loss.detach(), total.detach()) else total

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if is_loss(function) and torch.is_grad_enabled() and not live.busy:
            live.memory(self)["loss"] = output = function(*args, **kwargs)
            return output
        if not live.training or live.busy or not args or not isinstance(args[0], Tensor):
            return NotImplemented
        if not args[0].requires_grad or (args[0].is_leaf and not live.inside):
            return NotImplemented
        name = name_of_function(function)
        # ``==``: each look at the property gives another wrapper; stubs do not know it as one
        if name == "detach" or function == Tensor.data.__get__:  # type: ignore[attr-defined]
            return args[0]
        if name == "requires_grad" or (name == "detach_"):
            return args[0]
        return NotImplemented
