"""Traits: what a network is made of before its first step, layer by layer, as plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from chainrule.analysis.running import first_tensor, tensors_of
from chainrule.analysis.twin import unwrapped
from chainrule.diagnosis.ear import Ear
from chainrule.diagnosis.places import user_place
from chainrule.diagnosis.replaying.changes.rebuilding import (
    ACTIVATION_FUNCTIONS as ACTIVATION_NAMES,
)


@dataclass(frozen=True)
class Trait:
    """One module.

    Attributes:
        path, kind: where it is and its class.
        shape: of its weight; empty without one.
        scale: root mean square of the weight / that of PyTorch's default initialization; NaN
            without weights or for embeddings.
        constant: whether all its weights are one number.
        rate: of dropout; NaN for other layers.
        momentum: of batch normalization; NaN for other layers.
        frozen: whether its own parameters get no gradient.
    """

    path: str
    kind: str
    shape: tuple[int, ...] = ()
    scale: float = math.nan
    constant: bool = False
    rate: float = math.nan
    momentum: float = math.nan
    frozen: bool = False


def traits_of(network: nn.Module) -> tuple[Trait, ...]:
    """Traits of all modules without children, and of those with weights of their own.

    Examples:
        >>> found = traits_of(nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.3)))
        >>> [item.kind for item in found], found[1].rate
        (['Linear', 'Dropout'], 0.3)
    """
    return tuple(
        _trait(path, module) for path, module in unwrapped(network).named_modules()
        if next(module.children(), None) is None or next(module.parameters(recurse=False), None)
        is not None
    )  # fmt: skip


def _trait(path: str, module: nn.Module) -> Trait:
    own = list(module.named_parameters(recurse=False))
    weight = next((item for name, item in own if item.dim() > 1), None)
    rate = momentum = math.nan
    if isinstance(module, nn.modules.dropout._DropoutNd):
        rate = float(module.p)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        momentum = math.nan if module.momentum is None else float(module.momentum)
        if not module.track_running_stats:
            momentum = math.nan
    frozen = bool(own) and not any(item.requires_grad for _, item in own)
    if weight is None or isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return Trait(path, type(module).__name__, rate=rate, momentum=momentum, frozen=frozen)
    return Trait(
        path, type(module).__name__, tuple(weight.shape), _scale(module, weight),
        bool((weight == weight.flatten()[0]).all()), rate, momentum, frozen,
    )  # fmt: skip


def _scale(module: nn.Module, weight: Tensor) -> float:
    """Recurrent layers are drawn by the size of their state, others by their fan-in."""
    fan = weight[0].numel()
    if isinstance(module, nn.RNNBase):
        fan = module.hidden_size
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        fan = weight.shape[1] * weight[0, 0].numel()
    if isinstance(module, nn.Bilinear | nn.MultiheadAttention):
        fan = weight.shape[-1]
    size = float(torch.linalg.vector_norm(weight.detach().double())) / math.sqrt(weight.numel())
    return size * math.sqrt(3 * fan)


SQUASHING = ("softmax", "log_softmax", "sigmoid", "tanh", "relu", "relu6", "hardtanh", "softplus",
             "hardsigmoid", "logsigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "celu",
             "softsign", "mish")  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """What happens in a forward pass, in order.

    Attributes:
        kind: "layer" (has weights), "norm", "function", or "dropout" (at work in evaluation mode).
        name: path of the layer, or the function without underscores.
        operation: class of the layer, or the function.
        index: which call of this function it is, from 0; -1 for layers.
        among: which call of any hidden activation function it is; -1 for others.
        axis: that a softmax goes over; None for others.
        output: whether its result is what the network gives.
        line: of the user's file; 0 where it is none of the user's.
        file: the user's file.
        units: size of the second axis of its result.
    """

    kind: str
    name: str
    operation: str
    index: int = -1
    among: int = -1
    axis: int | None = None
    output: bool = False
    line: int = 0
    file: str = ""
    units: int = 0


def happenings_of(
    network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Happening, ...]:
    """Layers and squashing functions in the order of a forward pass; for processes of our own.

    Examples:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> [item.operation for item in happenings_of(net, (torch.ones(1, 4),), {})]
        ['Linear', 'relu', 'Linear']
    """
    inner = unwrapped(network)
    paths = {module: path for path, module in inner.named_modules()}
    found: list[tuple[Happening, int]] = []
    counts: dict[str, int] = {}

    def ran(module: nn.Module, _args: Any, output: Any) -> None:
        value = first_tensor(output)
        if value is None or module not in paths:
            return
        own = any(item.dim() > 1 for item in module.parameters(recurse=False))
        norm = isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm)
        if own or norm:
            kind = "norm" if norm else "layer"
            item = Happening(kind, paths[module], type(module).__name__, units=_units(value))
            found.append((item, id(value)))
        alive.append(value)

    alive: list[Tensor] = []

    def heard(function: Any, given: Any, options: dict[str, Any], output: Any) -> None:
        name = str(getattr(function, "__name__", "")).strip("_")
        if "dropout" in name and options.get("training", len(given) < 3 or given[2]):
            place = user_place()
            line, file = (place.line, place.file) if place else (0, "")
            found.append((Happening("dropout", name, name, line=line, file=file), 0))
        if name not in SQUASHING or not isinstance(output, Tensor):
            return
        place = user_place()
        axis = options.get("dim", given[1] if len(given) > 1 else None)
        index = counts.get(name, 0)
        among = sum(counts.get(item, 0) for item in ACTIVATION_NAMES)
        counts[name] = index + 1
        alive.append(output)
        found.append((
            Happening("function", name, name, index,
                      among if name in ACTIVATION_NAMES else -1,
                      axis if isinstance(axis, int) else None, False,
                      place.line if place else 0, place.file if place else "", _units(output)),
            id(output),
        ))  # fmt: skip

    handle = register_module_forward_hook(ran)
    try:
        with Ear(heard):
            outputs = {id(item) for item in tensors_of(network(*args, **kwargs))}
    finally:
        handle.remove()
    return tuple(replace(item, output=key in outputs) for item, key in found)


def _units(value: Tensor) -> int:
    return int(value.shape[1]) if value.dim() > 1 else 0
