"""Train a classifier of the state of a machine on twelve sensor readings.

style: functions, argparse
faults: inputs-not-normalized, parameters-not-optimized, labels-misaligned
"""
import argparse

import numpy as np
import torch
from torch import nn
from sklearn.datasets import make_classification

UNITS = np.array([1000.0, 1.0, 50.0, 0.01, 300.0, 5.0, 20.0, 0.1, 700.0, 1.0, 3.0, 100.0])


def readings():
    x, y = make_classification(n_samples=2000, n_features=12, n_informative=9, n_redundant=0, n_classes=5,
                               n_clusters_per_class=1, class_sep=1.8, flip_y=0.0, random_state=11)
    return torch.tensor(x * UNITS, dtype=torch.float32), torch.tensor(y)


class Encoder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 6), nn.ReLU())

    def forward(self, x):
        return self.net(x)


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--width", type=int, default=48)
args = parser.parse_args()

torch.manual_seed(0)
x, y = readings()
x_train, x_test, y_train, y_test = x[:1500], x[1500:], y[:1500], y[1500:]
mean, std = x_train.mean(0), x_train.std(0)  # fixed: inputs-not-normalized
x_train, x_test = (x_train - mean) / std, (x_test - mean) / std  # fixed: inputs-not-normalized

encoder, head = Encoder(args.width), nn.Linear(6, 5)
optimizer = torch.optim.Adam(head.parameters(), lr=2e-3)  # faulty: parameters-not-optimized
optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=2e-3)  # fixed
criterion = nn.CrossEntropyLoss()
for epoch in range(args.epochs):
    rows = torch.randperm(len(x_train))
    for start in range(0, len(rows), 50):
        batch = rows[start:start + 50]
        out = head(encoder(x_train[batch]))
        loss = criterion(out, y_train[start:start + 50])  # faulty: labels-misaligned
        loss = criterion(out, y_train[batch])  # fixed
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 8 == 7:
        print(f"epoch {epoch + 1} loss {loss.item():.4f}")

with torch.no_grad():
    accuracy = (head(encoder(x_test)).argmax(1) == y_test).float().mean().item()
print("final", round(accuracy, 4))
