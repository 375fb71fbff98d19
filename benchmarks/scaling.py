"""Scale: time per image and memory from 1,000 to 1,000,000 streamed images; time to resume.

Synthetic images in memory-mapped files, each size in a process of its own. Aims: all flat.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.measure import numbers_apart

import chainrule
from chainrule.training.interrupt import TrainingStopped
from chainrule.training.observer import Observer

HERE = "benchmarks.scaling"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (100, 1_000, 10_000)
SEEN = 100_000  # images at least, so that a small set is passed over several times
REPEATS = 5
NETWORK = "CONV5-8/2, RELU, POOL2, FC-10"


def measure() -> dict[str, Any]:
    """Microseconds per image and peak memory by size; seconds to resume by run length."""
    found: dict[str, Any] = {"images": {}, "resumed after": {}}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            write(Path(folder, str(size)), size)
        for _ in range(REPEATS):
            for size in SIZES:
                _keep(
                    found["images"],
                    size,
                    numbers_apart(HERE, "stream", str(Path(folder, str(size)))),
                )
            for length in LENGTHS:
                _keep(found["resumed after"], length, numbers_apart(HERE, "resume", str(length)))
    return {
        part: {
            f"{size:,}": {key: _median(values) for key, values in kept.items()}
            for size, kept in sizes.items()
        }
        for part, sizes in found.items()
    }


def write(folder: Path, count: int) -> None:
    """``count`` images of 28 x 28 whose class is how bright they are, and 1,000 to test on."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, number in (("train", count), ("test", 1_000)):
        labels = rng.integers(0, 10, number)
        np.save(folder / f"y_{part}.npy", labels)
        images = np.lib.format.open_memmap(
            folder / f"x_{part}.npy", mode="w+", dtype=np.uint8, shape=(number, 1, 28, 28)
        )
        for start in range(0, number, 10_000):
            own = labels[start : start + 10_000]
            noise = rng.integers(0, 64, (len(own), 1, 28, 28), dtype=np.uint8)
            images[start : start + 10_000] = (
                noise + (own * 16).astype(np.uint8)[:, None, None, None]
            )
        images.flush()


class Clock(Observer):
    """Notes when the first step was made; stops the run after a number of steps."""

    def __init__(self, stop: int = 0) -> None:
        self.stop, self.first = stop, 0.0

    def stepped(self, step: int, data_loss: float) -> None:
        self.first = self.first or time.perf_counter()
        if step == self.stop:
            os.kill(os.getpid(), signal.SIGINT)


def stream(folder: str) -> dict[str, float]:
    """Train on what is in the folder, left on the disk."""
    count = int(Path(folder).name)
    epochs = max(1, SEEN // count)
    with tempfile.TemporaryDirectory() as runs:
        result = chainrule.train(
            NETWORK, folder, runs=runs, stream=True, epochs=epochs, batch_size=250,
            validation_share=0.0, augment="crop=2", precise=True,
        )  # fmt: skip
    return {"microseconds per image": 1e6 / result.images_per_second, "peak MiB": peak()}


def peak() -> float:
    """Most memory this process has had (MiB); getrusage would count the parent's as well."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def resume(steps: str) -> dict[str, float]:
    """From the call that resumes a run of so many steps to its next step."""
    stop = int(steps)
    settings: dict[str, Any] = {"epochs": 1_000_000, "seed": 1, "precise": True}
    with tempfile.TemporaryDirectory() as runs:
        _until("FC-10", "digits", runs=runs, observer=Clock(stop), **settings)
        begun, clock = time.perf_counter(), Clock(stop + 1)
        _until(resume="last", runs=runs, observer=clock)
        return {"seconds": clock.first - begun}


def _until(*words: Any, **settings: Any) -> None:
    try:
        chainrule.train(*words, **settings)
    except TrainingStopped:
        return


def _keep(kept: dict[int, dict[str, list[float]]], size: int, numbers: dict[str, float]) -> None:
    for key, value in numbers.items():
        kept.setdefault(size, {}).setdefault(key, []).append(value)
    print(f"{size:,}: {numbers}", flush=True)


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    print(json.dumps({"stream": stream, "resume": resume}[sys.argv[1]](sys.argv[2])))
