"""Losing: changes of the loss and of what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.diagnosis.losses import is_loss
from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.replaying.changes.fresh import resize, update_missing

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from chainrule.diagnosis.replaying.live import Live

_TINY = 1e-30
_BINARY_OPERATIONS = ("sub", "rsub", "subtract", "mul", "add", "div", "square", "isclose")


def name_of_function(function: Any) -> str:
    """Without underscores."""
    return str(getattr(function, "__name__", "")).strip("_")


class LossChange(Change):
    """Stands in for the calls of PyTorch's loss functions while a network is trained."""

    moves_loss: ClassVar[bool] = True
    hears: ClassVar[bool] = True

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        """The loss in place of ``function(given, target, **rest)``; each change has its own."""
        raise NotImplementedError

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        # however it is called, PyTorch hands a loss on with input and target in the first places
        if not is_loss(function) or live.busy or len(args) != 2 or not torch.is_grad_enabled():
            return NotImplemented
        given, target = args
        if not isinstance(given, Tensor) or not isinstance(target, Tensor):
            return NotImplemented
        return self.loss(live, function, given, target, kwargs)


@dataclass(frozen=True)
class UndoSquashing(LossChange):
    """Probabilities are turned back into scores before a loss that expects scores."""

    @property
    def title(self) -> str:
        return "scores in place of probabilities given to the loss"

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        if name_of_function(function).startswith("binary"):
            return function(torch.logit(given.clamp(1e-7, 1 - 1e-7)), target, **rest)
        return function(given.clamp_min(_TINY).log(), target, **rest)


@dataclass(frozen=True)
class Normalize(LossChange):
    """``log_softmax`` is applied before a loss that expects log-probabilities."""

    @property
    def title(self) -> str:
        return "log_softmax before the loss"

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        sums = given.detach().sum(1) if given.dim() > 1 else given.detach().sum()
        if bool(((sums - 1).abs() < 1e-3).all()) and bool((given.detach() >= 0).all()):
            return function(given.clamp_min(_TINY).log(), target, **rest)
        return function(given.log_softmax(1), target, **rest)


@dataclass(frozen=True)
class DropOutputActivation(Change):
    """The last activation function before the loss is left out, or goes over the classes.

    Args:
        name: of the function.
        index: which call of it in a forward pass; -1 for one that stands behind the network.
        axis: the axis that it is applied over instead of being left out; None: left out.
        to: "sigmoid" in its place; "": nothing.
    """

    hears: ClassVar[bool] = True
    name: str = "relu"
    index: int = -1
    axis: int | None = None
    to: str = ""

    @property
    def title(self) -> str:
        if self.to:
            return f"{self.to} in place of {self.name} on the output"
        if self.axis is not None:
            return f"{self.name} over the classes"
        return f"without {self.name} on the output"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        if network is live.root:
            live.memory(self)["seen"] = 0
        return args, kwargs

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if name_of_function(function) != self.name or not args:
            return NotImplemented
        if live.inside:
            memory = live.memory(self)
            memory["seen"] = memory.get("seen", 0) + 1
            if self.index < 0 or memory["seen"] - 1 != self.index:
                return NotImplemented
        elif self.index >= 0:
            return NotImplemented
        if self.axis is not None:
            return function(args[0], dim=self.axis)
        return args[0].sigmoid() if self.to else args[0]


@dataclass(frozen=True)
class SqueezeShapes(Change):
    """Outputs and targets that would broadcast against each other are given one shape."""

    hears: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "targets in the shape of the outputs"

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if live.inside or live.busy or len(args) < 2:
            return NotImplemented
        first, second = args[0], args[1]
        if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
            return NotImplemented
        if not (is_loss(function) or name_of_function(function) in _BINARY_OPERATIONS):
            return NotImplemented
        if first.shape == second.shape or first.numel() != second.numel() or first.numel() < 2:
            return NotImplemented
        try:
            broadcast = np.broadcast_shapes(tuple(first.shape), tuple(second.shape))
        except ValueError:
            return NotImplemented
        if int(np.prod(broadcast)) <= first.numel():
            return NotImplemented
        if first.requires_grad or not second.requires_grad:
            second = second.reshape(first.shape)
        else:
            first = first.reshape(second.shape)
        return function(first, second, *args[2:], **kwargs)


@dataclass(frozen=True)
class UseCrossEntropy(LossChange):
    """Cross entropy in place of a loss for numbers, where targets are one-hot classes."""

    @property
    def title(self) -> str:
        return "cross entropy in place of the loss"

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        if given.dim() != 2 or target.shape != given.shape:
            return NotImplemented
        sums, rows = given.detach().sum(1), given.detach()
        if bool(((sums - 1).abs() < 1e-3).all()) and bool((rows >= 0).all()):
            given = given.clamp_min(_TINY).log()
        return F.cross_entropy(given, target.argmax(1))


@dataclass(frozen=True)
class ClassScores(LossChange):
    """A score for each class and cross entropy, in place of one number for the class.

    Args:
        classes: the values that targets take.
    """

    classes: tuple[float, ...] = (0.0, 1.0)

    @property
    def title(self) -> str:
        return f"{len(self.classes)} scores with cross entropy in place of one number"

    def meet(self, live: Live, network: nn.Module) -> None:
        last = next(
            (item for item in reversed(list(network.modules()))
             if isinstance(item, nn.Linear) and item.out_features == 1), None,
        )  # fmt: skip
        if last is None:
            return
        resize(live, last, last.in_features, len(self.classes))

    def returned(self, live: Live, network: nn.Module, output: Any) -> Any:
        """Where the script evaluates it gets one number for the class, as before."""
        asked = live.training or live.busy or network is not live.speaker
        if asked or not isinstance(output, Tensor) or output.shape[-1:] != (len(self.classes),):
            return output
        values = torch.tensor(self.classes, dtype=output.dtype, device=output.device)
        return values[output.argmax(-1, keepdim=True)]

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        update_missing(self, live, optimizer)

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        scores = given.reshape(-1, len(self.classes))
        values = torch.tensor(self.classes, dtype=torch.double)
        labels = (target.reshape(-1, 1).double() - values).abs().argmin(1)
        if len(labels) != len(scores):
            return NotImplemented
        return F.cross_entropy(scores, labels)

    def read(self, live: Live, prediction: Tensor) -> Tensor:
        return prediction.reshape(-1, len(self.classes))


@dataclass(frozen=True)
class Recode(LossChange):
    """Targets take the values that the loss is made for.

    Args:
        values: those that they take, in order; they become 0, 1, 2, ...
    """

    values: tuple[float, ...] = (-1.0, 1.0)

    @property
    def title(self) -> str:
        return f"labels {_listed(self.values)} encoded as {_listed(range(len(self.values)))}"

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        values = torch.tensor(self.values, dtype=torch.double)
        places = (target.double().unsqueeze(-1) - values).abs().argmin(-1)
        return function(given, places.to(target.dtype), **rest)


def _listed(values: Any) -> str:
    found = [f"{value:g}" for value in values]
    return ", ".join(found) if len(found) <= 4 else f"{found[0]} to {found[-1]}"


@dataclass(frozen=True)
class Balance(LossChange):
    """Classes count by the inverse of their frequency.

    Args:
        shares: of the classes, in order.
    """

    shares: tuple[float, ...] = (0.5, 0.5)

    @property
    def title(self) -> str:
        return "classes weighted by the inverse of their frequency"

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        name = name_of_function(function)
        weights = torch.tensor([1 / max(share, 1e-6) for share in self.shares]).to(given.dtype)
        weights /= weights.numel()
        rest = dict(rest)
        if name in ("cross_entropy", "nll_loss"):
            classes = given.shape[1]
            full = torch.ones(classes, dtype=given.dtype)
            full[: len(weights)] = weights[:classes]
            rest["weight"] = full
        elif name == "binary_cross_entropy_with_logits":
            rest["pos_weight"] = (weights[1] / weights[0]).to(given.dtype)
        elif name == "binary_cross_entropy":
            rest["weight"] = torch.where(target > 0.5, weights[1], weights[0])
        else:
            return NotImplemented
        return function(given, target, **rest)
