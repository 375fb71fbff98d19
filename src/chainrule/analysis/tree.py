"""Tree: the modules, parameters and buffers of a network by path, in one pass each.

``nn.Module.named_modules`` walks with nested generators, which for a network of hundreds of
modules takes longer than to follow its forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T", bound=Tensor)


def layers_of(root: nn.Module) -> dict[str, nn.Module]:
    """Every module by its first path, as ``named_modules`` gives them.

    Examples:
        >>> list(layers_of(nn.Sequential(nn.Linear(1, 1), nn.ReLU())))
        ['', '0', '1']
    """
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, nn.Module]] = [("", root)]
    while waiting:
        path, layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        found[path] = layer
        prefix = f"{path}." if path else ""
        children = [
            (f"{prefix}{name}", child) for name, child in _children(layer) if child is not None
        ]
        waiting.extend(reversed(children))
    return found


def _children(layer: nn.Module) -> list[tuple[str, nn.Module | None]]:
    if isinstance(layer, torch.jit.ScriptModule):
        return list(layer.named_children())
    return list(layer._modules.items())


def parameters_of(layers: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Every parameter by its first name, as ``named_parameters`` gives them."""
    return _named({path: layer._parameters for path, layer in layers.items()})


def buffers_of(layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Every buffer by its first name, as ``named_buffers`` gives them."""
    return _named({path: layer._buffers for path, layer in layers.items()})


def _named(held: Mapping[str, Mapping[str, T | None]]) -> dict[str, T]:
    found: dict[str, T] = {}
    seen: set[int] = set()
    for path, items in held.items():
        prefix = f"{path}." if path else ""
        for name, item in items.items():
            if item is not None and id(item) not in seen:
                seen.add(id(item))
                found[f"{prefix}{name}"] = item
    return found
