"""Learn to tell two interleaved spirals apart.

style: argparse, functions, hand-sliced minibatches
faults: capacity-too-small
"""
import argparse
import math

import torch
from torch import nn


def spirals(n, noise):
    half = n // 2
    angle = torch.sqrt(torch.rand(half)) * 2.2 * math.pi
    arm = torch.stack([angle * torch.cos(angle), angle * torch.sin(angle)], 1)
    points = torch.cat([arm, -arm]) / 4.0
    points = points + noise * torch.randn_like(points)
    labels = torch.cat([torch.zeros(half), torch.ones(half)]).long()
    return points, labels


def parse():
    parser = argparse.ArgumentParser(description="two spirals")
    parser.add_argument("--hidden", type=int, default=2)  # faulty: capacity-too-small
    parser.add_argument("--hidden", type=int, default=64)  # fixed: capacity-too-small
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--lr", type=float, default=0.01)
    return parser.parse_args()


def evaluate(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


def main():
    args = parse()
    torch.manual_seed(1)
    x_train, y_train = spirals(1500, 0.03)
    x_test, y_test = spirals(600, 0.03)
    model = nn.Sequential(
        nn.Linear(2, args.hidden),  # near: capacity-too-small
        nn.Tanh(),
        nn.Linear(args.hidden, args.hidden),  # near: capacity-too-small
        nn.Tanh(),
        nn.Linear(args.hidden, 2),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, args.epochs + 1):
        order = torch.randperm(len(x_train))
        for start in range(0, len(order), args.batch_size):
            idx = order[start:start + args.batch_size]
            loss = criterion(model(x_train[idx]), y_train[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"{epoch:3d}  train {evaluate(model, x_train, y_train):.3f}  test {evaluate(model, x_test, y_test):.3f}")
    print(f"final {evaluate(model, x_test, y_test):.4f}")


if __name__ == "__main__":
    main()
