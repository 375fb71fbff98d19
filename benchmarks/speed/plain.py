"""A plain PyTorch loop: Dataset, DataLoader, loss and accuracy summed up, SGD with momentum."""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from benchmarks.speed.case import MOMENTUM, RATE, Stopwatch, given_case, network
from benchmarks.speed.pictures import loader


def main() -> None:
    case, workers, pictures = given_case(), int(sys.argv[2]), sys.argv[3] == "pictures"
    minibatches = loader(case, workers, pictures)
    module, watch = network(case).train(), Stopwatch(case)
    optimizer = torch.optim.SGD(module.parameters(), RATE, MOMENTUM, nesterov=True)
    running, right = 0.0, 0
    while True:
        for inputs, labels in minibatches:
            optimizer.zero_grad()
            scores = module(inputs)
            loss = F.cross_entropy(scores, labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
            right += int((scores.argmax(1) == labels).sum())
            watch.step()


if __name__ == "__main__":
    main()
