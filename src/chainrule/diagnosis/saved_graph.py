"""Saved graph: the origin of a NaN as far as the tensors show that PyTorch keeps for backward."""

from __future__ import annotations

import contextlib
from typing import Any

from torch import Tensor

from chainrule.diagnosis.facts import facts_of
from chainrule.diagnosis.origin import Origin, value_of
from chainrule.diagnosis.places import Place


def origin_in_graph(step: int, loss: Tensor, places: dict[str, Place | None]) -> Origin:
    """The origin as far as the tensors show that PyTorch has saved for the backward pass.

    Args:
        step: its number.
        loss: not finite; its graph is read, not run.
        places: by operation, the line it was called from when it was last heard.

    Source: PyTorch, "Autograd mechanics", on saved tensors.

    Examples:
        >>> import torch
        >>> x = torch.zeros(3, requires_grad=True)
        >>> found = origin_in_graph(1, torch.log(x * 2).sum(), {})
        >>> found.operation, found.inputs[0].low
        ('log', 0.0)
    """
    for node in _in_order(loss):
        name = node.name().removesuffix("0").removesuffix("Backward").lower()
        saved = _saved(node)
        given = {key: item for key, item in saved.items() if key not in ("result", "output")}
        facts = tuple(facts_of(item) for item in given.values() if item.is_floating_point())
        if any(map(value_of, given.values())):
            constant = any(parent is None for parent, _ in node.next_functions)
            stage = "inputs" if constant else "forward"
            return Origin(
                step, stage, name, "", places.get(name), facts, "nan", (),
                f"{name} was the first operation that was given them",
            )  # fmt: skip
        results = [saved[key] for key in ("result", "output") if key in saved]
        if any(map(value_of, results)) or _breaks(name, given):
            return Origin(
                step, "forward", name, "", places.get(name), facts, "inf",
                note="read from what PyTorch keeps for the backward pass",
            )  # fmt: skip
    return Origin(step, "unknown", "", note="nothing that PyTorch keeps for backward shows it")


def _in_order(loss: Tensor) -> list[Any]:
    """The nodes of a graph in the order in which they were made."""
    found: dict[Any, None] = {}
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in found or hasattr(node, "variable"):
            continue
        found[node] = None
        waiting.extend(parent for parent, _ in node.next_functions)
    return sorted(found, key=lambda node: node._sequence_nr())


def _saved(node: Any) -> dict[str, Tensor]:
    found = {}
    for key in dir(node):
        if key.startswith("_saved_"):
            with contextlib.suppress(RuntimeError):  # freed, or overwritten since
                value = getattr(node, key)
                if isinstance(value, Tensor):
                    found[key.removeprefix("_saved_")] = value.detach()
    return found


def _breaks(name: str, given: dict[str, Tensor]) -> bool:
    """Functions that make infinities of finite numbers and keep only what they were given."""
    value = given.get("self")
    if name in ("log", "log2", "log10") and value is not None:
        return bool((value <= 0).any())
    if name == "div" and "other" in given:
        return bool((given["other"] == 0).any())
    return name == "rsqrt" and value is not None and bool((value <= 0).any())
