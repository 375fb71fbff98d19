"""One run until a test accuracy is reached, by chainrule or by a plain loop; same recipe."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
import torch.nn.functional as F
from benchmarks.speed.pictures import Samples, transforms
from torch import Tensor, nn

import chainrule
from chainrule.training.data.dataset import Dataset
from chainrule.training.observer import EpochReport, Observer


@dataclass(frozen=True)
class Goal:
    """What is to be reached, and how both are told to train.

    Attributes:
        data: name of the data set.
        network: notation or zoo name.
        accuracy: on the test part.
        epochs: planned, which the schedule goes by.
        batch: examples in a minibatch.
        rate: base learning rate (cosine to zero).
        padding: of the random crop (pixels).
        flip: mirror half of the images.
    """

    data: str
    network: str
    accuracy: float
    epochs: int
    batch: int
    rate: float
    padding: int
    flip: bool


# three convolutions: a network that two cores train to 92 % in minutes
_SMALL = ", ".join(f"CONV3-{width} b0, POOL2, BN, RELU" for width in (24, 48, 96))
GOALS = {
    "fashion-mnist": Goal("fashion-mnist", f"{_SMALL}, FC-10", 0.92, 14, 128, 0.02, 1, True),
    "digits": Goal("digits", "digits", 0.985, 40, 64, 0.05, 1, False),
}


@dataclass(frozen=True)
class Clock:
    """Seconds from the start of a run; printed with what was reached.

    Attributes:
        importing: seconds that PyTorch took to import its compiler. It does so at the first
            optimizer of a process, so that both loops pay it once.
        begun: when the run began.
    """

    importing: float
    begun: float

    @classmethod
    def start(cls) -> Clock:
        """Import PyTorch's compiler, then begin."""
        before = time.perf_counter()
        importlib.import_module("torch._dynamo")
        begun = time.perf_counter()
        return cls(begun - before, begun)

    def reached(self, steps: int, accuracy: float) -> NoReturn:
        """Say so, and end."""
        seconds = time.perf_counter() - self.begun
        found = {"steps": steps, "seconds": seconds, "accuracy": accuracy}
        print(json.dumps(found | {"importing": self.importing}), flush=True)
        raise SystemExit


class Until(Observer):
    """Ends the process when the accuracy is reached."""

    def __init__(self, goal: Goal, clock: Clock) -> None:
        self.goal, self.clock = goal, clock

    def epoch_ended(self, report: EpochReport) -> None:
        if (report.validation_accuracy or 0.0) >= self.goal.accuracy:
            self.clock.reached(report.step, report.validation_accuracy or 0.0)


def ours(goal: Goal, data: Dataset, seed: int, clock: Clock) -> None:
    """chainrule.train as it is: recorded, its way to compute chosen, all in the time."""
    augment = f"crop={goal.padding}" + (",flip" if goal.flip else "")
    judged = replace(data, validation=data.test)  # both look at the test part after each epoch
    with tempfile.TemporaryDirectory() as runs:
        chainrule.train(
            goal.network,
            judged,
            runs=runs,
            seed=seed,
            observer=Until(goal, clock),
            epochs=goal.epochs,
            batch_size=goal.batch,
            update_rule="nesterov",
            learning_rate=goal.rate,
            augment=augment,
        )


def plain(goal: Goal, data: Dataset, seed: int, clock: Clock) -> None:
    """Dataset, DataLoader, SGD, cosine schedule."""
    torch.manual_seed(seed)
    images, side = data.train.inputs, data.input_shape[-1]
    transform = transforms(side, goal.padding, goal.flip, data.mean.tolist(), data.std.tolist())
    samples = Samples(images, data.train.targets, transform)
    loader = torch.utils.data.DataLoader(samples, goal.batch, shuffle=True)
    module = chainrule.network(goal.network, input=data.input_shape, classes=data.outputs)
    optimizer = torch.optim.SGD(module.parameters(), goal.rate, 0.9, nesterov=True)
    total = goal.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    tests = data.normalize(data.test.inputs)
    for epoch in range(goal.epochs):
        module.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(module(inputs), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
        accuracy = accuracy_of(module, tests, data.test.targets)
        if accuracy >= goal.accuracy:
            clock.reached((epoch + 1) * len(loader), accuracy)


def accuracy_of(module: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    module.eval()
    with torch.no_grad():
        scores = torch.cat([module(part) for part in inputs.split(500)])
    return float((scores.argmax(1) == labels).float().mean())


if __name__ == "__main__":
    given = GOALS[sys.argv[1]]
    loop = {"ours": ours, "plain": plain}[sys.argv[2]]
    loop(given, chainrule.load_data(given.data), int(sys.argv[3]), Clock.start())
    print(json.dumps({"steps": None, "seconds": None, "accuracy": None, "importing": None}))
