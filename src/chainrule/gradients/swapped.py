"""Swapped: a module that runs with other parameters and buffers, at the cost of a few assignments.

``torch.func.functional_call`` does the same, and looks every name up anew; for small networks
that takes longer than the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Swapped:
    """Runs a module with other tensors in the place of its own; tied ones are replaced together.

    Args:
        module: whose layers stay the same from call to call.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._recurrent = [item for item in module.modules() if isinstance(item, nn.RNNBase)]
        self._places: dict[str, list[tuple[dict[str, Any], str]]] = {}
        first: dict[int, str] = {}
        for kind in ("_parameters", "_buffers"):
            for prefix, owner in module.named_modules():
                for key, item in getattr(owner, kind).items():
                    if item is not None:
                        name = first.setdefault(id(item), f"{prefix}.{key}" if prefix else key)
                        self._places.setdefault(name, []).append((getattr(owner, kind), key))

    def __call__(self, state: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        """The module's result with ``state`` in place of what it owns by these names."""
        with self._in_place(state):
            return self._module(*args, **kwargs)

    @contextmanager
    def _in_place(self, state: Mapping[str, Tensor]) -> Iterator[None]:
        kept = [(where, key, where[key]) for name in state for where, key in self._places[name]]
        try:
            for name, item in state.items():
                for where, key in self._places[name]:
                    where[key] = item
            self._refresh()
            yield
        finally:
            for where, key, item in kept:
                where[key] = item
            self._refresh()

    def _refresh(self) -> None:
        """Recurrent layers keep a list of their weights, which they read instead."""
        for layer in self._recurrent:
            layer._flat_weights = [getattr(layer, name) for name in layer._flat_weights_names]
