"""Fit a wavy surface z = f(x, y) with a multilayer perceptron of configurable depth.

style: class model, argparse, no DataLoader
faults: parameters-not-optimized
"""
import argparse

import torch
from torch import nn


class SurfaceNet(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        sizes = [2] + [width] * depth
        self.hidden = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]  # faulty: parameters-not-optimized
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])])  # fixed: parameters-not-optimized
        self.out = nn.Linear(width, 1)

    def forward(self, xy):
        h = xy
        for layer in self.hidden:
            h = torch.tanh(layer(h))
        return self.out(h)


def surface(xy):
    return torch.sin(2.5 * xy[:, :1]) * torch.cos(2.0 * xy[:, 1:]) + 0.3 * xy[:, :1]


def main(args):
    torch.manual_seed(4)
    xy = torch.rand(2500, 2) * 4 - 2
    z = surface(xy) + 0.05 * torch.randn(2500, 1)
    xy_train, z_train = xy[:2000], z[:2000]
    xy_test, z_test = xy[2000:], z[2000:]
    # scale with the statistics of the training part
    mean, std = xy_train.mean(0), xy_train.std(0)
    xy_train, xy_test = (xy_train - mean) / std, (xy_test - mean) / std

    model = SurfaceNet(args.width, args.depth)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)  # near: parameters-not-optimized
    loss_fn = nn.MSELoss()
    for epoch in range(args.epochs):
        model.train()
        for idx in torch.randperm(len(xy_train)).split(args.batch_size):
            loss = loss_fn(model(xy_train[idx]), z_train[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1} loss {loss.item():.4f}")

    model.eval()
    with torch.no_grad():
        ss_res = ((model(xy_test) - z_test) ** 2).sum()
        ss_tot = ((z_test - z_test.mean()) ** 2).sum()
    print(f"final {(1 - ss_res / ss_tot).item():.4f}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--width", type=int, default=32)
    ap.add_argument("--depth", type=int, default=3)
    ap.add_argument("--lr", type=float, default=4e-3)
    ap.add_argument("--epochs", type=int, default=50)
    ap.add_argument("--batch-size", type=int, default=50)
    main(ap.parse_args())
