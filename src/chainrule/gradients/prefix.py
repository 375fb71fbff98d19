"""Prefix: what comes before a changed parameter need not be computed again.

For networks whose evaluation is dear. The outputs of the layers that run before the parameter is
first read are kept from the evaluation at the point itself; which these are is read off the
traced graph.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.graph import Graph


class Prefix:
    """Kept outputs of the layers of our own copy of a network.

    Args:
        module: the copy; its layers get wrapped ``forward`` methods.
        graph: its traced forward pass, in the same mode.
    """

    def __init__(self, module: nn.Module, graph: Graph) -> None:
        self._leaves = {
            path for path, layer in module.named_modules() if not list(layer.children())
        }
        self._starts = [call.first for call in graph.calls if call.path in self._leaves]
        self._reads = _first_reads(graph)
        self._kept: list[Tensor | None] = []
        self._next = self._upto = 0
        self._keeping = False
        for path, layer in module.named_modules():
            if path in self._leaves:
                layer.forward = types.MethodType(self._wrapped(layer.forward), layer)

    def keep(self) -> None:
        """Let the next evaluation keep what its layers give."""
        self._kept, self._keeping, self._next = [], True, 0

    def begin(self, changed: list[str]) -> None:
        """Begin an evaluation in which only these tensors differ from the point."""
        self._upto = 0
        if changed and self._kept and not self._keeping:
            self._upto = min(self._before(name) for name in changed)
        self._next = 0

    def done(self) -> None:
        """An evaluation has ended."""
        self._keeping, self._upto = False, 0

    def _before(self, name: str) -> int:
        """How many layers have ended when a tensor is first read."""
        read = self._reads.get(name)
        if read is None:
            return 0
        index, inside = read
        started = sum(start <= index for start in self._starts)
        return max(started - 1 if inside in self._leaves else started, 0)

    def _wrapped(self, forward: Any) -> Any:
        def run(_self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            place = self._next
            self._next += 1
            if place < self._upto and place < len(self._kept):
                kept = self._kept[place]
                if kept is not None:
                    return kept.clone()
            if not self._keeping:
                return forward(*args, **kwargs)
            given = [(item, item._version) for item in args if isinstance(item, Tensor)]
            state = torch.get_rng_state()
            output = forward(*args, **kwargs)
            drew = not torch.equal(state, torch.get_rng_state())  # its draws must go on
            self._kept.append(None if drew else _keepable(output, given))
            return output

        return run


def _keepable(output: Any, given: list[tuple[Tensor, int]]) -> Tensor | None:
    """A copy of an output that can stand for its layer: one tensor of its own memory."""
    if not isinstance(output, Tensor) or any(item._version != seen for item, seen in given):
        return None
    memory = output.untyped_storage().data_ptr()
    if any(item.untyped_storage().data_ptr() == memory for item, _ in given):
        return None
    return output.detach().clone()


def _first_reads(graph: Graph) -> dict[str, tuple[int, str]]:
    """For each parameter the first operation that reads it, and the module call around that."""
    found: dict[str, tuple[int, str]] = {}
    for operation in graph.operations:
        for view in operation.inputs:
            storage = graph.storages[view.storage]
            if storage.origin == "parameter" and storage.name not in found:
                found[storage.name] = (operation.index, operation.call.path)
    return found
