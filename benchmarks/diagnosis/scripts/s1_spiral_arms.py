"""Separate the three arms of a spiral with a small residual network.

style: residual blocks, argparse, functions
faults: regularization-too-strong
"""
import argparse

import torch
from torch import nn
import torch.nn.functional as F


def spirals(n_per_arm, arms=3, noise=0.12):
    xs, ys = [], []
    for k in range(arms):
        r = torch.rand(n_per_arm).sqrt()
        angle = 4.0 * r + 2 * torch.pi * k / arms + noise * torch.randn(n_per_arm)
        xs.append(torch.stack([r * torch.cos(angle), r * torch.sin(angle)], dim=1))
        ys.append(torch.full((n_per_arm,), k))
    return torch.cat(xs), torch.cat(ys)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x):
        return x + self.fc2(F.relu(self.fc1(x)))


def build(width, n_blocks):
    return nn.Sequential(nn.Linear(2, width), *[Block(width) for _ in range(n_blocks)], nn.ReLU(), nn.Linear(width, 3))


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--weight-decay", type=float, default=0.5)  # faulty: regularization-too-strong
    parser.add_argument("--weight-decay", type=float, default=1e-4)  # fixed: regularization-too-strong
    args = parser.parse_args()

    torch.manual_seed(14)
    x, y = spirals(500)
    x_test, y_test = spirals(200)
    mean, std = x.mean(0), x.std(0)
    x, x_test = (x - mean) / std, (x_test - mean) / std
    net = build(width=32, n_blocks=2)
    sgd = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=args.weight_decay)  # near: regularization-too-strong
    for epoch in range(args.epochs):
        net.train()
        for rows in torch.randperm(len(x)).split(args.batch):
            sgd.zero_grad()
            loss = F.cross_entropy(net(x[rows]), y[rows])
            loss.backward()
            sgd.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1} loss {loss.item():.3f} test {accuracy(net, x_test, y_test):.3f}")
    print(f"final {accuracy(net, x_test, y_test):.4f}")


if __name__ == "__main__":
    main()
