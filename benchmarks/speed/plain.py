"""A plain PyTorch loop: Dataset, DataLoader, loss and accuracy summed up, SGD with momentum."""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from benchmarks.speed.case import (
    MOMENTUM,
    RATE,
    Samples,
    Stopwatch,
    declare_operations,
    given_case,
    network,
)


def main() -> None:
    declare_operations()
    case, workers, pictures = given_case(), int(sys.argv[2]), sys.argv[3] == "pictures"
    loader = torch.utils.data.DataLoader(
        Samples(case, pictures), case.batch, shuffle=True, drop_last=True, num_workers=workers
    )
    module, watch = network(case).train(), Stopwatch(case)
    optimizer = torch.optim.SGD(module.parameters(), RATE, MOMENTUM, nesterov=True)
    running, right = 0.0, 0
    while True:
        for inputs, labels in loader:
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
