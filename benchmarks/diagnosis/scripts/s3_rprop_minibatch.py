"""Estimate the value of houses from sixteen attributes, with an update rule that adapts each step size by itself.

style: function-per-stage pipeline, NumPy generator of minibatches, ExponentialLR-free, type hints
faults: optimizer-unsuited
"""
from collections.abc import Iterator

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from torch import Tensor, nn


def make_houses(seed: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y = make_friedman1(n_samples=2400, n_features=16, noise=0.5, random_state=seed)
    x = (x - 0.5) * np.sqrt(12)
    y = (y - y[:1800].mean()) / y[:1800].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None]
    return x[:1800], y[:1800], x[1800:], y[1800:]


def batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    order = rng.permutation(n)
    for k in range(0, n, size):
        yield order[k:k + size]


def build(n_in: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def train(net: nn.Module, x: Tensor, y: Tensor, epochs: int, size: int) -> None:
    rng = np.random.default_rng(0)
    optimizer = torch.optim.Rprop(net.parameters(), lr=0.003)  # faulty: optimizer-unsuited
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)  # fixed: optimizer-unsuited
    for epoch in range(epochs):
        total = 0.0
        for rows in batches(len(x), size, rng):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()  # near: optimizer-unsuited
            total += loss.item() * len(rows)
        print(f"epoch {epoch + 1:2d}: {total / len(x):.4f}")


def score(net: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return 1.0 - (nn.functional.mse_loss(net(x), y) / y.var(unbiased=False)).item()


if __name__ == "__main__":
    torch.manual_seed(6)
    x_train, y_train, x_test, y_test = make_houses()
    model = build(x_train.shape[1])
    train(model, x_train, y_train, epochs=25, size=20)
    print("final", score(model, x_test, y_test))
