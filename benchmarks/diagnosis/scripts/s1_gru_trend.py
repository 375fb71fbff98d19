"""Train a GRU to tell which of two markers comes first in a noisy sequence.

style: Trainer class, hand-sliced minibatches
faults: learning-rate-too-high
"""
import numpy as np
import torch
from torch import nn


def make_sequences(n, length, rng):
    x = rng.normal(0.0, 0.3, size=(n, length, 2))
    first = rng.integers(1, length // 2, size=n)
    second = rng.integers(length // 2, length - 1, size=n)
    label = rng.integers(0, 2, size=n)
    rows = np.arange(n)
    x[rows, first, label] += 3.0
    x[rows, second, 1 - label] += 3.0
    return torch.from_numpy(x).float(), torch.from_numpy(label)


class OrderNet(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, x):
        _, h = self.gru(x)
        return self.out(h[-1])


class Trainer:
    def __init__(self, model, lr, batch_size=64):
        self.model = model
        self.batch_size = batch_size
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)  # near: learning-rate-too-high

    def fit(self, x, y, epochs):
        for epoch in range(epochs):
            self.model.train()
            perm = torch.randperm(len(x))
            losses = []
            for start in range(0, len(x), self.batch_size):
                idx = perm[start:start + self.batch_size]
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(x[idx]), y[idx])
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
            print("epoch", epoch, "loss", round(sum(losses) / len(losses), 4))

    @torch.no_grad()
    def score(self, x, y):
        self.model.eval()
        return (self.model(x).argmax(-1) == y).float().mean().item()


rng = np.random.default_rng(7)
torch.manual_seed(7)
train_x, train_y = make_sequences(2000, 16, rng)
test_x, test_y = make_sequences(500, 16, rng)
trainer = Trainer(OrderNet(), lr=1.0)  # faulty: learning-rate-too-high
trainer = Trainer(OrderNet(), lr=5e-3)  # fixed: learning-rate-too-high
trainer.fit(train_x, train_y, epochs=12)
print("train accuracy", trainer.score(train_x, train_y))
print("final", trainer.score(test_x, test_y))
