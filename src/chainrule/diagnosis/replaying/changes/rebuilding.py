"""Rebuilding: changes of the network: weights, activations, width, dropout, normalization."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.replaying.changes.fresh import exchange, resize, update_missing
from chainrule.diagnosis.replaying.changes.losing import name_of_function

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from chainrule.diagnosis.replaying.live import Live

ACTIVATION_FUNCTIONS = (
    "relu", "relu6", "sigmoid", "tanh", "leaky_relu", "elu", "selu", "celu", "gelu", "silu",
    "softplus", "hardtanh", "hardsigmoid", "logsigmoid", "softsign", "mish",
)  # fmt: skip


@dataclass(frozen=True)
class Reinitialize(Change):
    """All weights are drawn anew.

    Args:
        way: "default": as PyTorch does; "he": normal with a variance of 2 / fan-in.
    """

    way: str = "default"

    @property
    def title(self) -> str:
        how = "as PyTorch does" if self.way == "default" else "with a variance of 2 / fan-in"
        return f"weights drawn anew {how}"

    def meet(self, live: Live, network: nn.Module) -> None:
        known: set[int] = set()
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset) and type(module).__module__.startswith("torch."):
                reset()
                known.update(id(item) for item in module.parameters(recurse=False))
                if self.way == "he":
                    _he(module)
        with torch.no_grad():
            for item in network.parameters():
                if id(item) not in known and item.is_floating_point():
                    _draw(item)


def _draw(item: Tensor) -> None:
    if item.dim() > 1:
        nn.init.xavier_uniform_(item)
    elif bool((item == item.flatten()[:1]).all()) and float(item.flatten()[0]) in (0.0, 1.0):
        return
    else:
        nn.init.zeros_(item)


def _he(module: nn.Module) -> None:
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.dim() > 1 and not isinstance(module, nn.Embedding):
        nn.init.kaiming_normal_(weight)
        if isinstance(getattr(module, "bias", None), Tensor):
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ActivationChange(Change):
    """Stands in for the hidden activation functions, counted anew in each forward pass.

    Args:
        output: number of the activation that is the network's output and stays; -1: none.
    """

    hears: ClassVar[bool] = True
    output: int = -1

    def activation(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        """The result in place of ``function(*args, **kwargs)``."""
        raise NotImplementedError

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        if network is live.root:
            live.memory(self)["seen"] = 0
        return args, kwargs

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if not live.inside or name_of_function(function) not in ACTIVATION_FUNCTIONS or not args:
            return NotImplemented
        number = live.memory(self).get("seen", 0)
        live.memory(self)["seen"] = number + 1
        if number == self.output:
            return NotImplemented
        return self.activation(live, function, args, kwargs)


@dataclass(frozen=True)
class ReplaceActivation(ActivationChange):
    """The hidden activation functions are replaced.

    Args:
        to: "leaky_relu", "relu" or "tanh".
    """

    to: str = "leaky_relu"

    @property
    def title(self) -> str:
        return f"{self.to.replace('_', ' ')} in place of the activation functions"

    def activation(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if self.to == "leaky_relu":
            return F.leaky_relu(args[0], 0.1)
        return torch.relu(args[0]) if self.to == "relu" else torch.tanh(args[0])


@dataclass(frozen=True)
class NormalizeSignals(ActivationChange):
    """The inputs of hidden activation functions are brought to zero mean and unit variance.

    Over the features of each example, without parameters.
    """

    @property
    def title(self) -> str:
        return "inputs of the activation functions normalized"

    def activation(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        value = args[0]
        if value.dim() < 2 or value[0].numel() < 4:
            return NotImplemented
        return function(F.layer_norm(value, value.shape[1:]), *args[1:], **kwargs)


@dataclass(frozen=True)
class InsertNonlinearity(Change):
    """ReLU after layers that have no activation function behind them.

    Args:
        layers: paths in the network.
    """

    layers: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"ReLU after {', '.join(self.layers[:3])}"

    def meet(self, live: Live, network: nn.Module) -> None:
        modules = dict(network.named_modules())
        for path in self.layers:
            if path in modules:
                modules[path].register_forward_hook(lambda _layer, _inputs, output: output.relu())


@dataclass(frozen=True)
class Widen(Change):
    """Hidden layers get more units, drawn anew.

    Args:
        factor: how many times as many.
        least: at least so many.
    """

    factor: int = 4
    least: int = 64

    @property
    def title(self) -> str:
        return f"hidden layers {self.factor} times as wide"

    def meet(self, live: Live, network: nn.Module) -> None:
        layers = [item for item in network.modules() if isinstance(item, nn.Linear)]
        norms = [item for item in network.modules() if isinstance(item, nn.BatchNorm1d)]
        for before, after in itertools.pairwise(layers):
            if before.out_features != after.in_features:
                continue
            old, width = before.out_features, max(self.least, self.factor * before.out_features)
            resize(live, before, before.in_features, width)
            resize(live, after, width, after.out_features)
            for norm in norms:
                if norm.num_features == old:
                    parts = list(norm.parameters())
                    norm.__init__(width)  # type: ignore[misc]
                    for part, fresh in zip(parts, norm.parameters(), strict=False):
                        exchange(live, part, fresh)

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        update_missing(self, live, optimizer)


@dataclass(frozen=True)
class SetDropout(Change):
    """Another dropout rate."""

    hears: ClassVar[bool] = True
    rate: float = 0.0

    @property
    def title(self) -> str:
        return "no dropout" if not self.rate else f"dropout {self.rate:g}"

    def meet(self, live: Live, network: nn.Module) -> None:
        for module in network.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = min(module.p, self.rate)

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        name = name_of_function(function)
        if "dropout" not in name or not args or not isinstance(args[0], Tensor):
            return NotImplemented
        if "p" in kwargs:
            return function(*args, **kwargs | {"p": min(float(kwargs["p"]), self.rate)})
        rate = args[1] if len(args) > 1 else 0.5
        return function(args[0], min(float(rate), self.rate), *args[2:], **kwargs)


@dataclass(frozen=True)
class AddDropout(Change):
    """Dropout behind the hidden activation functions, while training."""

    hears: ClassVar[bool] = True
    rate: float = 0.5

    @property
    def title(self) -> str:
        return f"dropout {self.rate:g} behind the activation functions"

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if not live.inside or not live.training or live.busy:
            return NotImplemented
        if name_of_function(function) not in ACTIVATION_FUNCTIONS:
            return NotImplemented
        return F.dropout(function(*args, **kwargs), self.rate)


@dataclass(frozen=True)
class SwitchMode(Change):
    """Training in training mode, evaluation in evaluation mode."""

    hears: ClassVar[bool] = True
    settles_mode: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "training mode while training, evaluation mode while evaluating"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        if not live.busy:
            for module in network.modules():
                module.training = torch.is_grad_enabled()
        return args, kwargs

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        """Dropout called as a function, that knows of no mode."""
        evaluated = live.busy or not live.training
        if evaluated and live.inside and "dropout" in name_of_function(function) and args:
            return args[0]
        return NotImplemented


@dataclass(frozen=True)
class SoundNorm(Change):
    """Batch normalization with its customary momentum, or with statistics of each example.

    Args:
        by_example: statistics over the features of an example in place of the minibatch.
    """

    by_example: bool = False

    @property
    def title(self) -> str:
        if self.by_example:
            return "normalization by example in place of by minibatch"
        return "batch normalization with a momentum of 0.1"

    def meet(self, live: Live, network: nn.Module) -> None:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum, module.track_running_stats = 0.1, True
                if self.by_example:
                    setattr(module, "forward", _by_example(module))  # noqa: B010 - of this one


def _by_example(module: Any) -> Any:
    def forward(value: Tensor) -> Tensor:
        shape = (1, -1, *([1] * (value.dim() - 2)))
        found: Tensor = F.layer_norm(value, value.shape[1:])
        if module.weight is None:
            return found
        scaled: Tensor = found * module.weight.reshape(shape) + module.bias.reshape(shape)
        return scaled

    return forward
