"""Series: a step watched in full as named numbers, and what tells one minibatch from another."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from chainrule.diagnosis.facts import Sample
from chainrule.diagnosis.layers import DeadWindow


def fingerprint(tensor: Tensor) -> str:
    """The same for tensors of the same shape and values, and for no others.

    Examples:
        >>> fingerprint(torch.ones(2)) == fingerprint(torch.ones(2)) != fingerprint(torch.zeros(2))
        True
    """
    values = tensor.detach()
    if values.is_sparse or values.is_complex():
        return ""
    values = values.cpu().contiguous()
    content = values.view(torch.uint8) if values.dim() else values.reshape(1).view(torch.uint8)
    digest = hashlib.blake2b(content.numpy().tobytes(), digest_size=8)
    digest.update(str(tuple(values.shape)).encode())
    return digest.hexdigest()


def series_of(sample: Sample, windows: dict[str, DeadWindow]) -> dict[str, float]:
    """A full sample as series, by layer and parameter."""
    found: dict[str, float] = {}
    for layer in sample.activations:
        found[f"activation_mean/{layer.name}"] = layer.mean
        found[f"activation_std/{layer.name}"] = layer.std
        found[f"zero/{layer.name}"] = layer.zero
        if layer.saturated is not None:
            found[f"saturated/{layer.name}"] = layer.saturated
        if layer.not_finite:
            found[f"not_finite/{layer.name}"] = float(layer.not_finite)
    for name, dead, units, _ in sample.dead:
        found[f"dead/{name}"] = dead / max(units, 1)
    for item in sample.parameters:
        found[f"weight_norm/{item.name}"] = item.weight_norm
        if item.gradient_norm is not None:
            found[f"gradient_norm/{item.name}"] = item.gradient_norm
        if item.update_ratio is not None:
            found[f"update_ratio/{item.name}"] = item.update_ratio
    if sample.before_step is not None:
        found["train/gradient_norm"] = sample.before_step
    return found
