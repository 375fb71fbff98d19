"""Fit the Friedman function with a two-layer tanh network.

style: dataclass config, functions, hand-sliced minibatches
faults: saturated-activations
"""
from dataclasses import dataclass

import torch
from sklearn.datasets import make_friedman1
from torch import nn


@dataclass
class Config:
    samples: int = 1600
    hidden: int = 64
    init_std: float = 4.0  # faulty: saturated-activations
    init_std: float = 0.12  # fixed: saturated-activations
    lr: float = 1e-2
    batch_size: int = 50
    epochs: int = 50


def make_data(cfg):
    x, y = make_friedman1(n_samples=cfg.samples, n_features=10, noise=0.5, random_state=7)
    x = torch.tensor(x, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    cut = int(0.75 * cfg.samples)
    x = (x - x[:cut].mean(0)) / x[:cut].std(0)
    y = (y - y[:cut].mean()) / y[:cut].std()
    return x[:cut], y[:cut], x[cut:], y[cut:]


def make_model(cfg):
    model = nn.Sequential(
        nn.Linear(10, cfg.hidden), nn.Tanh(),  # near: saturated-activations
        nn.Linear(cfg.hidden, cfg.hidden), nn.Tanh(),  # near: saturated-activations
        nn.Linear(cfg.hidden, 1),
    )
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=cfg.init_std)  # near: saturated-activations
        nn.init.zeros_(layer.bias)
    return model


def r2(model, x, y):
    with torch.no_grad():
        residual = ((y - model(x)) ** 2).sum()
    return (1 - residual / ((y - y.mean()) ** 2).sum()).item()


def main():
    cfg = Config()
    torch.manual_seed(11)
    x, y, x_val, y_val = make_data(cfg)
    model = make_model(cfg)
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr, momentum=0.9)
    for epoch in range(cfg.epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), cfg.batch_size):
            batch = order[start:start + cfg.batch_size]
            loss = nn.functional.mse_loss(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: train R2 {r2(model, x, y):.3f}, val R2 {r2(model, x_val, y_val):.3f}")
    print("final", r2(model, x_val, y_val))


if __name__ == "__main__":
    main()
