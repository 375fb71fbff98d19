"""Checkpoints: weights and update-rule state in safetensors, the rest in JSON. Never pickle.

A checkpoint is a folder, written whole under a temporary name and then renamed, so a crash or
a full disk at any moment leaves the last good one in place.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from chainrule.errors import CheckpointError
from chainrule.record.atomic import publish_folder, write_atomically
from chainrule.training.sharding import cut_like, load_whole, whole

FORMAT = 1
_WEIGHTS, _UPDATES, _STATE = "weights.safetensors", "updates.safetensors", "state.json"
_AVERAGE = "average.safetensors"
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """One saved moment of a run.

    Attributes:
        path: its folder.
        step: number of updates made before it.
        state: the loop's own counters, plain JSON values.
    """

    path: Path
    step: int
    state: dict[str, Any]


def save_checkpoint(
    folder: Path,
    name: str,
    step: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    average: nn.Module | None = None,
    write: bool = True,
) -> Path:
    """Write checkpoint ``folder/name`` at once or not at all; one that is there is kept.

    Training is a function of seed and step, so a checkpoint of that name holds the same bits.
    Of a sharded module all processes must ask for it, and one of them is to ``write``.

    Raises:
        CheckpointError: it cannot be written (disk full, no permission); what was there stays.
    """
    final, temporary = folder / name, folder / f".{name}.tmp"
    weights, (updates, scalars) = _module_tensors(module), _optimizer_tensors(optimizer)
    if final.exists() or not write:
        return final
    record = {"format": FORMAT, "step": step, "state": state, "optimizer": scalars}
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        (temporary / _WEIGHTS).write_bytes(save_tensors(weights))
        (temporary / _UPDATES).write_bytes(save_tensors(updates))
        if average is not None:
            (temporary / _AVERAGE).write_bytes(save_tensors(_module_tensors(average)))
        (temporary / _STATE).write_text(json.dumps(record), encoding="utf-8")
        publish_folder(temporary, final)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint '{final}' cannot be written: {error.strerror or error}; the last good "
            "checkpoint is kept: free some space and go on with --resume"
        ) from None
    return final


def save_weights(path: Path, module: nn.Module, *, write: bool = True) -> None:
    """Write the weights and buffers of ``module`` as one safetensors file.

    Of a sharded module all processes must ask for it, and one of them is to ``write``.

    Raises:
        CheckpointError: it cannot be written.
    """
    tensors = _module_tensors(module)
    if not write:
        return
    try:
        write_atomically(path, save_tensors(tensors))
    except OSError as error:
        raise CheckpointError(
            f"weights '{path}' cannot be written: {error.strerror or error}; free some space"
        ) from None


def prune_checkpoints(folder: Path, best: str | None = None) -> None:
    """Remove all but the newest step checkpoints and the one named ``best``."""
    outdated = [path for path in folder.glob("best-*") if path.name != best]
    for path in [*_step_folders(folder)[:-_KEPT], *outdated]:
        shutil.rmtree(path, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest step checkpoint, or None when there is none yet."""
    found = _step_folders(folder)
    return read_checkpoint(found[-1]) if found else None


def read_checkpoint(path: Path) -> Checkpoint:
    """The step and the state of the checkpoint in ``path``.

    Raises:
        CheckpointError: it is missing, damaged or of a newer format.
    """
    record = _read_record(path)
    return Checkpoint(path, record["step"], record["state"])


def load_weights(path: Path, module: nn.Module) -> None:
    """Put the weights and buffers of checkpoint ``path`` into ``module``.

    Raises:
        CheckpointError: damaged, or of another network (names the first difference).
    """
    _load_file(path / _WEIGHTS, module)


def load_average(path: Path, module: nn.Module) -> None:
    """Put the averaged weights of checkpoint ``path`` into ``module``.

    Raises:
        CheckpointError: damaged, or of another network (names the first difference).
    """
    _load_file(path / _AVERAGE, module)


def _load_file(path: Path, module: nn.Module) -> None:
    tensors = _read_tensors(path)
    _refuse_other_network(path.parent, tensors, module.state_dict())
    load_whole(module, tensors)


def load_updates(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Put the update rule's state of checkpoint ``path`` into ``optimizer``."""
    tensors, scalars = _read_tensors(path / _UPDATES), _read_record(path)["optimizer"]
    state: dict[int, dict[str, Any]] = {int(index): values for index, values in scalars.items()}
    # in one order in all processes, which later gather each tensor together: as read it varies
    for name, tensor in sorted(tensors.items()):
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"checkpoint '{path}' has other update-rule state: {error}") from None
    _lay_out_like_the_parameters(optimizer)


def _lay_out_like_the_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Fused kernels walk parameter and state side by side: both must lie alike in memory."""
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                like = torch.empty_like(parameter, dtype=value.dtype)
                values[key] = like.copy_(cut_like(value, parameter))


def _module_tensors(module: nn.Module) -> dict[str, Tensor]:
    tensors = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"'{name}' of {type(module).__name__} is a {type(value).__name__}; checkpoints "
                "hold tensors only: return a tensor from get_extra_state"
            )
        # a clone, since tied weights share memory, which safetensors refuses
        tensors[name] = whole(value.detach()).cpu().contiguous().clone()
    return tensors


def _optimizer_tensors(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """The update rule's state as named tensors, and what is not a tensor beside them."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = whole(value.detach()).cpu().contiguous().clone()
            else:
                scalars.setdefault(str(index), {})[key] = value
    return tensors, scalars


def _step_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.startswith("step-"))


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads((path / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint '{path}' cannot be read: {error}") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint '{path}' is not of format {FORMAT}: read it with the chainrule version "
            "that wrote it"
        )
    return record


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint file '{path}' cannot be read: {error}") from None


def _refuse_other_network(path: Path, saved: dict[str, Tensor], current: dict[str, Tensor]) -> None:
    for name in [*current, *saved]:
        here = tuple(current[name].shape) if name in current else "nothing"
        there = tuple(saved[name].shape) if name in saved else "nothing"
        if here != there:
            raise CheckpointError(
                f"checkpoint '{path}' is of another network: '{name}' is {there} there and "
                f"{here} here; give the network it was made with"
            )
