"""Train a convolutional network on a data set of handwritten digits.

style: custom Dataset, main guard
faults: gradients-not-cleared, data-not-shuffled
"""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset


class DigitFolders(Dataset):
    """Reads the images as if there were one folder per class."""

    def __init__(self, images, target, keep):
        rows = [i for c in range(10) for i in np.flatnonzero(target == c) if keep(i)]
        self.x = torch.tensor(images[rows], dtype=torch.float32).unsqueeze(1) / 16 - 0.3
        self.y = torch.tensor(target[rows])

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1)
        self.fc = nn.Linear(24 * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


def main():
    torch.manual_seed(2)
    digits = load_digits()
    train = DigitFolders(digits.images, digits.target, lambda i: i % 4 != 0)
    test = DigitFolders(digits.images, digits.target, lambda i: i % 4 == 0)
    loader = DataLoader(train, batch_size=32)  # faulty: data-not-shuffled
    loader = DataLoader(train, batch_size=32, shuffle=True)  # fixed
    net = ConvNet()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(15):
        for x, y in loader:
            optimizer.zero_grad()  # fixed: gradients-not-cleared
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1} loss {loss.item():.4f}")
    with torch.no_grad():
        accuracy = (net(test.x).argmax(1) == test.y).float().mean().item()
    print(f"final {accuracy:.4f}")


if __name__ == "__main__":
    main()
