"""Train a tanh network to separate three spirals.

style: script, full control over the data
faults: saturated-activations, labels-misaligned
"""
import math

import torch
from torch import nn

torch.manual_seed(0)


def spirals(n_per_arm, arms=3, noise=0.05):
    xs, ys = [], []
    for arm in range(arms):
        t = torch.rand(n_per_arm).sqrt()
        angle = 3.5 * t + 2 * math.pi * arm / arms
        points = torch.stack([t * angle.cos(), t * angle.sin()], dim=1)
        xs.append(2 * points + noise * torch.randn_like(points))
        ys.append(torch.full((n_per_arm,), arm))
    return torch.cat(xs), torch.cat(ys)


class SpiralNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.fc1 = nn.Linear(2, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, 3)
        for layer in (self.fc1, self.fc2):
            nn.init.constant_(layer.bias, 9.0)  # faulty: saturated-activations
            nn.init.zeros_(layer.bias)  # fixed

    def forward(self, x):
        x = torch.tanh(self.fc1(x))
        x = torch.tanh(self.fc2(x))
        return self.fc3(x)


x, y = spirals(600)
shuffle = torch.randperm(len(x))
x = x[shuffle]
y = y[shuffle]  # fixed: labels-misaligned
x_test, y_test = spirals(200)

model = SpiralNet()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(40):
    total = 0.0
    for idx in torch.randperm(len(x)).split(36):
        loss = nn.functional.cross_entropy(model(x[idx]), y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
    if epoch % 8 == 7:
        print(f"epoch {epoch + 1} loss {total / len(x):.4f}")

with torch.no_grad():
    print("final", (model(x_test).argmax(1) == y_test).float().mean().item())
