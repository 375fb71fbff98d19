"""Resolve: what can be checked, by whatever name, turned into a target.

A network in any form, a ``torch.autograd.Function``, a loss, a function of tensors, or a pair of
NumPy functions. Networks are copied; the copy is checked, in double precision where it can be.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.errors import GradientError
from chainrule.gradients.function_target import function_target
from chainrule.gradients.measure import loss_target
from chainrule.gradients.network_target import network_target
from chainrule.gradients.numpy_pair import is_numpy, pair_problem
from chainrule.gradients.samples import function_inputs
from chainrule.gradients.target import Target
from chainrule.network.imported import attribute
from chainrule.nn.losses import LOSSES

_PLACE = re.compile(
    r"^(?P<where>[^\s:,\[]+):(?P<what>[A-Za-z_][\w.]*)(,(?P<other>[A-Za-z_][\w.]*))?$"
)


def target_of(
    anything: Any,
    inputs: Any = None,
    loss: Any = None,
    targets: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
    batch: int = 2,
) -> Target:
    """What to check, from what a user names.

    Raises:
        GradientError, NetworkError, ShapeError: it cannot be checked as given.
    """
    if isinstance(anything, str | Path):
        found = _by_text(str(anything).strip())
        if found is not None:
            anything = found
    if anything in LOSSES.values() and callable(anything):
        return loss_target(anything, inputs, targets, dtype, batch)
    if isinstance(anything, nn.Module) and _takes_targets(anything):
        return loss_target(anything, inputs, targets, dtype, batch)
    if _is_network(anything):
        return network_target(anything, inputs, loss, targets, dtype, batch)
    if isinstance(anything, tuple) or is_numpy(inputs):
        return Target(pair_problem(anything, _arrays(inputs)))
    if isinstance(anything, type) and issubclass(anything, torch.autograd.Function):
        applied = anything

        def apply(*given: Any) -> Any:  # looked up at each call, so that it can be watched
            return applied.apply(*given)  # type: ignore[no-untyped-call]

        return function_target(apply, anything.__name__, inputs, loss, targets, dtype)
    if not callable(anything):
        raise GradientError(
            f"target got a {type(anything).__name__}, wants a network, a torch.autograd.Function, "
            "a function of tensors, or a pair of NumPy functions (forward, backward)"
        )
    name = getattr(anything, "__name__", type(anything).__name__)
    return function_target(anything, name, inputs, loss, targets, dtype)


def _by_text(text: str) -> Any:
    """The object that ``file.py:name`` or a loss's name stands for; None for other networks."""
    if text in LOSSES:
        return LOSSES[text]
    found = _PLACE.match(text)
    if found is None or found["where"] in ("torchvision", "timm"):
        return None
    thing = attribute(found["where"], found["what"])
    if found["other"]:
        return thing, attribute(found["where"], found["other"])
    if isinstance(thing, type) and issubclass(thing, nn.Module):
        return None  # the network's own loader makes it
    return None if _is_factory(thing) else thing


def _is_factory(thing: Any) -> bool:
    """A function without required arguments makes a network; others are to be checked."""
    if isinstance(thing, nn.Module | type) or not callable(thing):
        return False
    needed = [
        item
        for item in inspect.signature(thing).parameters.values()
        if item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    return not needed


def _is_network(anything: Any) -> bool:
    return isinstance(anything, nn.Module | str | Path) or hasattr(anything, "layers")


def _takes_targets(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.loss._Loss) or type(module).__name__ == "SVMLoss"


def _arrays(given: Any) -> list[Any]:
    if given is None:
        raise GradientError(
            "inputs of the pair of NumPy functions are missing: give arrays or shapes, one for "
            "each argument of forward, such as --input 4,3 --input 3,5"
        )
    return [
        item.numpy() if isinstance(item, Tensor) else item
        for item in function_inputs(given, torch.float64)
    ]
