"""Running: copies of a network that may be run, and what can be seen of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.traced import Traced
from chainrule.analysis.twin import with_weights


class Run:
    """Copies of a network, ready to run on the CPU with the inputs of a trace."""

    def __init__(self, module: nn.Module, found: Traced) -> None:
        self._module, self._found = module, found

    def copy(self, *, training: bool) -> nn.Module:
        twin = with_weights(self._module)
        return twin if training and self._module.training else twin.train(training)

    def inputs(self, twin: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kinds = (item.dtype for item in twin.parameters() if item.dtype.is_floating_point)
        return self._found.inputs.tensors("cpu", dtype=next(kinds, torch.float32))


def watched(twin: nn.Module, see: Callable[[str, int, Any], None]) -> dict[str, int]:
    """Tell ``see`` of every module call; gives the counts of calls, to be cleared between runs."""
    counts: dict[str, int] = {}

    def hook(path: str) -> Callable[..., None]:
        def seen(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            number = counts.get(path, 0)
            counts[path] = number + 1
            see(path, number, output)

        return seen

    for path, layer in twin.named_modules():
        layer.register_forward_hook(hook(path))
    return counts


def first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple | list):
        return next((item for part in value if (item := first_tensor(part)) is not None), None)
    if isinstance(value, dict):
        return first_tensor(list(value.values()))
    return None


def tensors_of(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [item for part in value for item in tensors_of(part)]
    return tensors_of(list(value.values())) if isinstance(value, dict) else []
