"""``make bench``: run every benchmark, print its table, keep its numbers with the hardware."""

from __future__ import annotations

import json
import sys
from pathlib import Path

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
from benchmarks.measure import machine

RESULTS = Path(__file__).parent / "results"
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
    """Run all benchmarks, or those named, and write ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or list(BENCHMARKS):
        measure = BENCHMARKS[name]
        numbers = measure()
        print(f"{name}: {json.dumps(numbers, indent=2)}")
        record = {"machine": machine(), "numbers": numbers}
        (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
