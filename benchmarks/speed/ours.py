"""chainrule.train as it is, recorded (and watched, when asked); and the bare step in its format."""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext

import torch
from benchmarks.speed.case import CASES, MOMENTUM, PADDING, RATE, Case, Stopwatch, images

import chainrule
from chainrule.training.allocator import memory_kept
from chainrule.training.choosing import choose
from chainrule.training.data.dataset import Dataset, Part, statistics
from chainrule.training.execution import threads
from chainrule.training.minibatches import Minibatches
from chainrule.training.observer import Observer
from chainrule.training.prepare import prepare_network
from chainrule.training.recipe import Recipe
from chainrule.training.step import Step


class Ticks(Observer):
    def __init__(self, case: Case) -> None:
        self.watch = Stopwatch(case)

    def stepped(self, step: int, data_loss: float) -> None:
        self.watch.step()


def dataset_of(case: Case) -> Dataset:
    inputs, labels = images(case)
    train, few = Part(inputs, labels), Part(inputs[:256], labels[:256])
    names = tuple("0123456789")
    mean, std = statistics(inputs)
    return Dataset("images", "classification", train, few, few, names, mean, std, "-", "-")


def settings_of(case: Case) -> dict[str, object]:
    return {
        "batch_size": case.batch,
        "augment": f"crop={PADDING},flip",
        "update_rule": "nesterov",
        "learning_rate": RATE,
        "momentum": MOMENTUM,
        "epochs": 100,  # a long run, so that how to compute is measured
    }


def whole(case: Case, watched: bool) -> None:
    looking = chainrule.watch() if watched else nullcontext()
    with tempfile.TemporaryDirectory() as runs, looking:
        settings = settings_of(case)
        chainrule.train(case.network, dataset_of(case), runs=runs, observer=Ticks(case), **settings)


def bare(case: Case) -> None:
    """One fixed minibatch again and again, with nothing recorded."""
    dataset = dataset_of(case)
    recipe = Recipe(network=case.network, loss="softmax", **settings_of(case))
    module, watch = prepare_network(recipe, dataset, None), Stopwatch(case)
    execution = choose(module, dataset, recipe).execution
    step = Step(execution.place(module).train(), recipe, "classification", execution)
    minibatch = next(Minibatches(dataset, recipe, execution).epoch(0))
    with threads(execution.threads), memory_kept():
        while True:
            step.gradients(minibatch)
            step.update(RATE)
            watch.step()


def chosen(case: Case) -> None:
    """Measure how a step is fastest, which later processes remember, and print it."""
    dataset = dataset_of(case)
    recipe = Recipe(network=case.network, loss="softmax", **settings_of(case))
    torch.manual_seed(0)
    print(choose(prepare_network(recipe, dataset, None), dataset, recipe).words)


if __name__ == "__main__":
    what = {
        "bare": bare,
        "chosen": chosen,
        "whole": lambda case: whole(case, False),
        "watched": lambda case: whole(case, True),
    }
    what[sys.argv[2]](CASES[sys.argv[1]])
