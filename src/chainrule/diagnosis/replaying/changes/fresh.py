"""Fresh: parameters that a change brings, or that no optimizer holds, and who updates them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chainrule.diagnosis.parameters import held
from chainrule.diagnosis.replaying.change import Change

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


def exchange(live: Live, old: Tensor, new: Tensor) -> None:
    """A parameter takes the place of another in the optimizers that were made before."""
    for rule in live.cast.rules:
        optimizer = rule.optimizer()
        for group in optimizer.param_groups if optimizer is not None else ():
            group["params"] = [new if item is old else item for item in group["params"]]


def resize(live: Live, layer: nn.Linear, inputs: int, outputs: int) -> None:
    """A layer of another size, drawn anew; optimizers hold the new weights for the old ones."""
    fresh = nn.Linear(inputs, outputs, layer.bias is not None)
    exchange(live, layer.weight, fresh.weight)
    layer.weight, layer.in_features, layer.out_features = fresh.weight, inputs, outputs
    if layer.bias is not None:
        exchange(live, layer.bias, fresh.bias)
        layer.bias = fresh.bias


def update_missing(change: Change, live: Live, optimizer: Optimizer) -> None:
    """Update with a rule like the given one what no optimizer holds."""
    memory = live.memory(change)
    if live.optimizers and optimizer is not live.optimizers[0]:
        return
    known = {id(item) for item in held(live.optimizers)}
    missing = memory.get("missing")
    if missing is None:
        leaves = [item for item in memory.get("leaves", ()) if isinstance(item, nn.Parameter)]
        own = [item for network in live.networks for item in network.parameters()]
        candidates = {id(item): item for item in (*leaves, *own) if item.requires_grad}
        missing = [item for key, item in candidates.items() if key not in known]
        memory["missing"] = missing
        if missing:
            memory["rule"] = like(optimizer, missing)
    if not missing:
        return
    rule: Optimizer = memory["rule"]
    for group in rule.param_groups:
        group["lr"] = optimizer.param_groups[0].get("lr", group.get("lr"))
    live.busy = True
    rule.step()
    rule.zero_grad()
    live.busy = False


def like(optimizer: Optimizer, parameters: list[Any]) -> Optimizer:
    """An optimizer of the same class with the same settings for other parameters."""
    try:
        return type(optimizer)(parameters, **optimizer.defaults)
    except TypeError:
        return torch.optim.Adam(parameters, lr=1e-3)
