"""Train a two-layer network on handwritten digits with a trainer class.

style: Trainer class, dataclass config
faults: symmetric-initialization, regularization-too-strong
"""
from dataclasses import dataclass

import torch
from torch import nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


@dataclass
class Config:
    hidden: int = 64
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.3  # faulty: regularization-too-strong
    weight_decay: float = 1e-4  # fixed
    epochs: int = 25
    batch_size: int = 64


class Network(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.hidden = nn.Linear(64, hidden)
        self.output = nn.Linear(hidden, 10)
        for layer in (self.hidden, self.output):
            nn.init.constant_(layer.weight, 0.05)  # faulty: symmetric-initialization
            nn.init.xavier_uniform_(layer.weight)  # fixed
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


class Trainer:
    def __init__(self, config):
        self.config = config
        x, y = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y))
        train, self.test = random_split(data, [1347, len(data) - 1347])
        self.loader = DataLoader(train, batch_size=config.batch_size, shuffle=True)
        self.model = Network(config.hidden)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=config.lr, momentum=config.momentum,
                                         weight_decay=config.weight_decay)  # near: regularization-too-strong
        self.loss = nn.CrossEntropyLoss()

    def epoch(self):
        total = 0.0
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = self.loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.loader)

    def run(self):
        for i in range(1, self.config.epochs + 1):
            loss = self.epoch()
            if i % 5 == 0:
                print(f"epoch {i} loss {loss:.4f}")

    @torch.no_grad()
    def accuracy(self):
        x, y = self.test[:]
        return (self.model(x).argmax(1) == y).float().mean().item()


torch.manual_seed(0)
trainer = Trainer(Config())
trainer.run()
print("final", trainer.accuracy())
