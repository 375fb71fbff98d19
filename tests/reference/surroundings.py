"""What a program has outside of any network: random states, threads, modes of PyTorch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def surroundings() -> dict[str, Any]:
    """All of it, in a form that can be compared."""
    return {
        "torch's random state": torch.get_rng_state().tolist(),
        "NumPy's": np.random.get_state()[1].tolist(),
        "Python's": random.getstate(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
