"""NetworkTable: the layers of a network with their volumes and parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.answer import Answer
from chainrule.nn.maxout import Maxout

_WHOLE: tuple[type[nn.Module], ...] = (Maxout,)  # shown as one layer although made of parts


@dataclass(frozen=True)
class LayerRow(Answer):
    """One layer.

    Attributes:
        name: its path in the module tree ("conv1", "res2.branch.conv1").
        operation: its class with the sizes that matter ("Conv2d 5x5, stride 2").
        output: activation volume of one example, (C, H, W) or (features,); None if unknown.
        parameters: number of parameters it owns; a shared one counts where it is first seen.
        trainable: how many of them require a gradient.
        note: what a reader should know ("the last row of 7 is never seen"), "" when nothing.
    """

    name: str
    operation: str
    output: tuple[int, ...] | None
    parameters: int
    trainable: int
    note: str = ""


@dataclass(frozen=True)
class NetworkTable(Answer):
    """The layers of a network in the order in which they compute.

    Attributes:
        network: how the network was named.
        input: shape of one example, (C, H, W) or (features,).
        rows: one per layer that computes.
        parameters: number of parameters of the whole network.
        trainable: how many of them require a gradient.
    """

    network: str
    input: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    parameters: int
    trainable: int


def network_table(
    module: nn.Module,
    shape: tuple[int, ...],
    name: str = "",
    notes: Mapping[str, str] | None = None,
) -> NetworkTable:
    """The layers of ``module`` for examples of ``shape``, without running or changing it.

    A copy without weights (on PyTorch's meta device) is traced; where it cannot be, the
    layers are listed with unknown outputs.

    Args:
        module: any module that takes one tensor (N, *shape).
        shape: shape of one example, without the minibatch axis.
        name: how the network was named.
        notes: remarks by layer name.

    Examples:
        >>> table = network_table(nn.Sequential(nn.Linear(3, 2)), (3,))
        >>> table.rows[0].output, table.parameters
        ((2,), 8)
    """
    outputs = _trace(module, shape)
    owned = _owners(module, outputs)
    rows = tuple(
        LayerRow(
            name=path or type(layer).__name__,
            operation=_operation(layer),
            output=outputs[path],
            parameters=sum(parameter.numel() for parameter in owned.get(path, [])),
            trainable=_trainable(owned.get(path, [])),
            note=(notes or {}).get(path, ""),
        )
        for path, layer in ((path, module.get_submodule(path)) for path in outputs)
        if _computes(layer) or path in owned
    )
    parameters = list(module.parameters())
    total = sum(parameter.numel() for parameter in parameters)
    return NetworkTable(name or type(module).__name__, shape, rows, total, _trainable(parameters))


def _trainable(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad)


def _computes(layer: nn.Module) -> bool:
    whole = isinstance(layer, _WHOLE)
    return whole or (not list(layer.children()) and not isinstance(layer, nn.Identity))


def _trace(module: nn.Module, shape: tuple[int, ...]) -> dict[str, tuple[int, ...] | None]:
    """Output shape of each layer by path, in the order in which they finish."""
    outputs: dict[str, tuple[int, ...] | None] = {}
    try:
        twin = _without_weights(module).eval()
        for path, layer in twin.named_modules():
            if not any(path.startswith(f"{whole}.") for whole in _whole_paths(module)):
                layer.register_forward_hook(_recorder(outputs, path))
        with torch.no_grad():
            twin(torch.empty(2, *shape, device="meta"))
    except Exception:  # noqa: BLE001 - any module may fail in any way on a tensor without data
        return {path: None for path, _ in module.named_modules()}
    return outputs


def _whole_paths(module: nn.Module) -> list[str]:
    return [path for path, layer in module.named_modules() if isinstance(layer, _WHOLE)]


def _recorder(
    outputs: dict[str, tuple[int, ...] | None], path: str
) -> Callable[[nn.Module, Any, Any], None]:
    def record(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        outputs[path] = tuple(output.shape[1:]) if isinstance(output, Tensor) else None

    return record


def _without_weights(module: nn.Module) -> nn.Module:
    """A deep copy whose parameters and buffers hold no memory."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    twin = copy.deepcopy(module, memo)
    for layer in twin.modules():  # the original's hooks must not run on the copy
        layer._forward_hooks.clear()
        layer._forward_pre_hooks.clear()
    return twin


def _owners(
    module: nn.Module, outputs: Mapping[str, tuple[int, ...] | None]
) -> dict[str, list[nn.Parameter]]:
    """Each parameter under the nearest enclosing layer that was seen to compute."""
    owned: dict[str, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        path = name
        while path:
            path = path.rpartition(".")[0]
            if path in outputs:
                break
        owned.setdefault(path, []).append(parameter)
    return owned


def _operation(layer: nn.Module) -> str:
    """Class name with the filter size and the stride when they say something."""
    name = type(layer).__name__
    size, stride = getattr(layer, "kernel_size", None), getattr(layer, "stride", None)
    if size is None:
        return name
    words = f"{name} {_by(size)}"
    return words if _by(stride) in ("", "1", "1x1") else f"{words}, stride {_by(stride)}"


def _by(size: Any) -> str:
    """``(3, 3)`` and ``3`` as "3x3"."""
    if isinstance(size, int):
        size = (size, size)
    return "x".join(str(number) for number in size) if isinstance(size, tuple | list) else ""
