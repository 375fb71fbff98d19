"""Surroundings: what is different for a script that is being diagnosed.

One thread (forks of many threads hang), no worker processes, no compiler (the same mathematics),
seeds that can be moved, and nothing on a screen.
"""

from __future__ import annotations

import functools
import inspect
import os
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "Agg", "TQDM_DISABLE": "1", "WANDB_MODE": "disabled",
    "PYTHONDONTWRITEBYTECODE": "1", "TORCHDYNAMO_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
}  # fmt: skip
_STRIDE = 7919  # between the seeds of two stages


def settle(seed: int) -> list[str]:
    """Make this process fit for being forked; gives what was done that the user should know.

    Args:
        seed: is added to every seed that is set from now on, times a prime.
    """
    notes: list[str] = []
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    for name in ("set_num_threads", "set_num_interop_threads"):
        setattr(torch, name, lambda *_args, **_kwargs: None)
    _without_workers(notes)
    _without_compiler(notes)
    _move_seeds(seed * _STRIDE)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    return notes


def _without_workers(notes: list[str]) -> None:
    original = DataLoader.__init__
    signature = inspect.signature(original)

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs)
        if given.arguments.get("num_workers"):
            note = "DataLoader workers were turned off"
            if note not in notes:
                notes.append(note)
            for name, value in (
                ("num_workers", 0), ("prefetch_factor", None), ("persistent_workers", False),
                ("timeout", 0), ("multiprocessing_context", None),
            ):  # fmt: skip
                if name in given.arguments:
                    given.arguments[name] = value
        original(*given.args, **given.kwargs)

    DataLoader.__init__ = init  # type: ignore[method-assign]


def _without_compiler(notes: list[str]) -> None:
    def compiled(model: Any = None, *_args: Any, **_kwargs: Any) -> Any:
        note = "torch.compile was left out: the same mathematics, uncompiled"
        if note not in notes:
            notes.append(note)
        return model if model is not None else lambda function: function

    torch.compile = compiled


def _move_seeds(offset: int) -> None:
    """Every seed that is set from now on is another one, the same for the same offset."""
    if not offset:
        return

    def moved(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def seeded(seed: Any = None, *args: Any, **kwargs: Any) -> Any:
            if isinstance(seed, int | np.integer):
                seed = (int(seed) + offset) % 2**32
            return original(seed, *args, **kwargs)

        return seeded

    for owner, name in (
        (torch, "manual_seed"), (torch.random, "manual_seed"), (np.random, "seed"),
        (random, "seed"), (np.random, "default_rng"),
    ):  # fmt: skip
        setattr(owner, name, moved(getattr(owner, name)))


def reseed(amount: int) -> None:
    """Another random state, drawn from the present one."""
    if not amount:
        return
    seed = (torch.initial_seed() + amount * _STRIDE) % 2**32
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def hush(path: str) -> None:
    """What is printed from now on, by whatever means, goes to a file; nothing can be read."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
