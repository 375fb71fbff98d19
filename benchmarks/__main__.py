"""``make bench``: run every benchmark, print its table, keep its numbers with the hardware."""

from __future__ import annotations

import json
import sys

from benchmarks import (
    checking,
    describing,
    precision,
    scaling,
    start_up,
    time_to_accuracy,
    training_speed,
    training_step,
    watching,
)
from benchmarks.measure import keep

BENCHMARKS = {
    "checking": checking.measure,
    "describing": describing.measure,
    "precision": precision.measure,
    "scaling": scaling.measure,
    "start_up": start_up.measure,
    "time_to_accuracy": time_to_accuracy.measure,
    "training_speed": training_speed.measure,
    "training_step": training_step.measure,
    "watching": watching.measure,
}


def main() -> None:
    """Run all benchmarks, or those named, and keep them in ``results/NAME.json``."""
    for name in sys.argv[1:] or list(BENCHMARKS):
        measure = BENCHMARKS[name]
        numbers = measure()
        print(f"{name}: {json.dumps(numbers, indent=2)}")
        keep(name, numbers)


if __name__ == "__main__":
    main()
