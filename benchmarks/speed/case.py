"""Case: what all candidates train alike: network, images, minibatch, augmentation, update rule."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

RATE, MOMENTUM, PADDING = 0.05, 0.9, 4
SECONDS = 6.0
_BLOCK = "RES[CONV3-{0} b0, BN, RELU, CONV3-{0} b0, BN], RELU"
_STAGES = ", ".join(
    (_BLOCK if width == 64 else _BLOCK.replace("{0} b0", "{0}/2 b0", 1)).format(width)
    + ", "
    + _BLOCK.format(width)
    for width in (64, 128, 256, 512)
)
# the form for small images: a 3x3 stem and no pooling after it (He et al. 2016, section 4.2)
RESNET18 = f"CONV3-64 b0, BN, RELU, {_STAGES}, GAP, FC-10"


@dataclass(frozen=True)
class Case:
    """A network and its images.

    Attributes:
        network: notation or zoo name.
        shape: (C, H, W) of an image.
        batch: examples in a minibatch.
        warm: steps that are not counted.
        least: steps that are counted, at least; more until ``SECONDS`` are over.
    """

    network: str
    shape: tuple[int, int, int]
    batch: int
    warm: int
    least: int


CASES = {
    "lenet": Case("lenet5", (1, 28, 28), 128, 40, 50),
    "vgg": Case("vgg-small", (1, 28, 28), 128, 6, 10),
    "resnet18": Case(RESNET18, (3, 32, 32), 64, 1, 3),
}


def images(case: Case) -> tuple[Tensor, Tensor]:
    """uint8 images (N, C, H, W) and labels: Fashion-MNIST, or noise where it is not at hand."""
    if case.shape == (1, 28, 28) and os.environ.get("CHAINRULE_DATA"):
        import chainrule

        part = chainrule.load_data("fashion-mnist").train
        return part.inputs, part.targets
    generator = torch.Generator().manual_seed(0)
    count = case.batch * 200
    noise = torch.randint(0, 256, (count, *case.shape), generator=generator, dtype=torch.uint8)
    return noise, torch.randint(0, 10, (count,), generator=generator)


def network(case: Case) -> nn.Module:
    """The network, freshly initialized."""
    import chainrule

    torch.manual_seed(0)
    return chainrule.network(case.network, input=case.shape, classes=10)


class Stopwatch:
    """Told of each step; after enough of them prints images per second and ends the process."""

    def __init__(self, case: Case) -> None:
        self.case, self.made, self.begun = case, 0, 0.0

    def step(self) -> None:
        """One whole training step is over."""
        self.made += 1
        now, counted = time.perf_counter(), self.made - self.case.warm
        if not counted:
            self.begun = now
        elif counted >= self.case.least and now - self.begun > SECONDS:
            speed = counted * self.case.batch / (now - self.begun)
            print(json.dumps({"images/s": speed}), flush=True)
            raise SystemExit


def given_case() -> Case:
    """The case named on the command line."""
    return CASES[sys.argv[1]]
