"""DataLoader workers that augment with random numbers."""

import random

import numpy as np
import torch
from _digest import report
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __len__(self):
        return 96

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.randn(1, 6, 6, generator=generator)
        if random.random() < 0.5:
            image = image.flip(-1)
        return image.double() + 0.1 * np.random.randn(), index % 3


def main():
    torch.manual_seed(15)
    np.random.seed(15)
    random.seed(15)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    net = net.double()
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    loader = DataLoader(Noisy(), 16, shuffle=True, num_workers=2)
    for _ in range(2):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
    report(net, optimizer)


if __name__ == "__main__":
    main()
