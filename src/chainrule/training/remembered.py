"""Remembered: choices of execution, kept between runs in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from torch import nn

from chainrule.record.atomic import write_atomically
from chainrule.record.environment import hardware, versions
from chainrule.training.choice import Choice
from chainrule.training.execution import Execution
from chainrule.training.recipe import Recipe

VARIABLE = "CHAINRULE_CACHE"
_FORMAT = 1
_DECIDING = ("loss", "update_rule", "penalty", "max_norm", "clip_norm", "micro_batch_size")


def cache_folder() -> Path:
    """CHAINRULE_CACHE, or ``chainrule`` in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chainrule"


def name_of(
    module: nn.Module, shape: tuple[int, ...], recipe: Recipe, candidates: list[Execution]
) -> str:
    """A name for what decides a choice: network, minibatch, recipe, hardware, versions."""
    device = next(item.device for item in module.parameters())
    machine = {**hardware(str(device)), "memory": None}
    deciding = {
        "format": _FORMAT,
        "network": str(module),
        "parameters": [(name, tuple(item.shape)) for name, item in module.named_parameters()],
        "minibatch": shape,
        "recipe": {name: getattr(recipe, name) for name in _DECIDING},
        "candidates": [item.words for item in candidates],
        "torch": versions()["torch"],
        "machine": machine,
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:32]


def recall(name: str) -> Choice | None:
    """The choice remembered under ``name``; None when there is none that can be read."""
    try:
        values = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
        return replace(Choice.from_dict(values), how="remembered", seconds=0.0)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(name: str, choice: Choice) -> None:
    """Keep ``choice``; where the cache cannot be written it is measured again next time."""
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        write_atomically(_folder() / f"{name}.json", json.dumps(choice.to_dict()).encode())
    except OSError:
        return


def _folder() -> Path:
    return cache_folder() / "executions"
