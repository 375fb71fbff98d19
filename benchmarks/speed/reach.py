"""One run until a test accuracy is reached, by chainrule or by a plain loop; same recipe."""

from __future__ import annotations

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


GOALS = {
    "fashion-mnist": Goal("fashion-mnist", "vgg-small", 0.92, 6, 128, 0.05, 2, True),
    "digits": Goal("digits", "digits", 0.985, 40, 64, 0.05, 1, False),
}


def reached(steps: int, begun: float, accuracy: float) -> NoReturn:
    """Say so, and end."""
    seconds = time.perf_counter() - begun
    print(json.dumps({"steps": steps, "seconds": seconds, "accuracy": accuracy}), flush=True)
    raise SystemExit


class Until(Observer):
    """Ends the process when the accuracy is reached."""

    def __init__(self, goal: Goal, begun: float) -> None:
        self.goal, self.begun = goal, begun

    def epoch_ended(self, report: EpochReport) -> None:
        if (report.validation_accuracy or 0.0) >= self.goal.accuracy:
            reached(report.step, self.begun, report.validation_accuracy or 0.0)


def ours(goal: Goal, data: Dataset, seed: int) -> None:
    """chainrule.train as it is: recorded, its way to compute chosen, all in the time."""
    augment = f"crop={goal.padding}" + (",flip" if goal.flip else "")
    judged = replace(data, validation=data.test)  # both look at the test part after each epoch
    with tempfile.TemporaryDirectory() as runs:
        chainrule.train(
            goal.network,
            judged,
            runs=runs,
            seed=seed,
            observer=Until(goal, time.perf_counter()),
            epochs=goal.epochs,
            batch_size=goal.batch,
            update_rule="nesterov",
            learning_rate=goal.rate,
            augment=augment,
        )


def plain(goal: Goal, data: Dataset, seed: int) -> None:
    """Dataset, DataLoader, SGD, cosine schedule."""
    begun = time.perf_counter()
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
            reached((epoch + 1) * len(loader), begun, accuracy)


def accuracy_of(module: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    module.eval()
    with torch.no_grad():
        scores = torch.cat([module(part) for part in inputs.split(500)])
    return float((scores.argmax(1) == labels).float().mean())


if __name__ == "__main__":
    given = GOALS[sys.argv[1]]
    {"ours": ours, "plain": plain}[sys.argv[2]](
        given, chainrule.load_data(given.data), int(sys.argv[3])
    )
    print(json.dumps({"steps": None, "seconds": None, "accuracy": None}))
