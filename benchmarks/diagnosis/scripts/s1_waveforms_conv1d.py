"""Train a one-dimensional convolutional network to recognise waveforms.

style: custom Dataset, functions, main
faults: gradients-not-cleared
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

SHAPES = ("sine", "square", "sawtooth", "triangle", "pulse")


class Waveforms(Dataset):
    def __init__(self, count, length=48, noise=0.25):
        self.labels = torch.randint(len(SHAPES), (count,))
        cycles = 2 + 3 * torch.rand(count, 1)
        phase = (cycles * torch.linspace(0, 1, length) + torch.rand(count, 1)) % 1.0
        waves = torch.stack([
            math.sqrt(2) * torch.sin(2 * math.pi * phase),
            torch.sign(phase - 0.5),
            (2 * phase - 1) * math.sqrt(3),
            (4 * (phase - 0.5).abs() - 1) * math.sqrt(3),
            (phase < 0.1).float() * 3.3 - 0.33,
        ], dim=1)
        chosen = waves[torch.arange(count), self.labels]
        self.signals = (chosen + noise * torch.randn(count, length)).unsqueeze(1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.signals[index], self.labels[index]


class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(1, 16, 7, padding=3)
        self.conv2 = nn.Conv1d(16, 32, 5, padding=2)
        self.fc = nn.Linear(32 * 12, len(SHAPES))

    def forward(self, x):
        x = F.max_pool1d(F.relu(self.conv1(x)), 2)
        x = F.max_pool1d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(start_dim=1))


def test(model, loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in loader:
            correct += (model(x).argmax(dim=1) == y).sum().item()
    return correct / len(loader.dataset)


def main():
    torch.manual_seed(5)
    train_loader = DataLoader(Waveforms(2000), batch_size=50, shuffle=True)
    test_loader = DataLoader(Waveforms(500), batch_size=250)
    model = WaveNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(12):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()  # fixed: gradients-not-cleared
            loss = F.cross_entropy(model(x), y)
            loss.backward()  # near: gradients-not-cleared
            optimizer.step()  # near: gradients-not-cleared
        print("epoch", epoch, "last loss", loss.item(), "accuracy", test(model, test_loader))
    print("final", test(model, test_loader))


if __name__ == "__main__":
    main()
