"""Test accuracy in bfloat16 against plain float32, paired over 5 seeds.

bfloat16 and channels-last is what is chosen for this network on cores with units for it.
Same seed: same split, initial weights, minibatches. Aim: a difference within its own noise.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from typing import Any

import chainrule

SEEDS = 5
NETWORK = "vgg-small"
SETTINGS: dict[str, Any] = {
    "data": "fashion-mnist",
    "limit": 6000,
    "epochs": 3,
    "batch_size": 128,
    "update_rule": "nesterov",
    "learning_rate": 0.05,
    "augment": "crop=2,flip",
}


def measure() -> dict[str, Any]:
    """Accuracies by seed, and mean and standard error of their differences."""
    if not os.environ.get("CHAINRULE_DATA"):
        return {"skipped": "CHAINRULE_DATA does not name a folder with the files"}
    chosen, plain = [], []
    for seed in range(SEEDS):
        chosen.append(_accuracy(seed, precision="bfloat16", memory_format="channels-last"))
        plain.append(_accuracy(seed, precise=True))
        print(f"seed {seed}: bfloat16 {chosen[-1]:.4f}, float32 {plain[-1]:.4f}", flush=True)
    gaps = [one - other for one, other in zip(chosen, plain, strict=True)]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    return {
        "network": NETWORK,
        "accuracy in bfloat16": chosen,
        "accuracy in float32": plain,
        "mean difference": round(statistics.mean(gaps), 5),
        "its standard error": round(error, 5),
        "standard deviation over seeds in float32": round(statistics.stdev(plain), 5),
    }


def _accuracy(seed: int, **how: Any) -> float:
    with tempfile.TemporaryDirectory() as runs:
        result = chainrule.train(NETWORK, runs=runs, seed=seed, **SETTINGS, **how)
    return float(result.test_accuracy or 0.0)
