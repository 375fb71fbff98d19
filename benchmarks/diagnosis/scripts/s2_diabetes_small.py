"""Predict the progression of diabetes a year after baseline.

style: dataclass config, functions
faults: overfitting
"""
from dataclasses import dataclass

import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from torch import nn


@dataclass
class Config:
    patients: int = 80
    hidden: int = 256  # faulty: overfitting
    epochs: int = 350  # faulty: overfitting
    weight_decay: float = 0.0  # faulty: overfitting
    hidden: int = 16  # fixed: overfitting
    epochs: int = 150  # fixed: overfitting
    weight_decay: float = 1.0  # fixed: overfitting
    lr: float = 1e-3
    batch: int = 16


def load(cfg):
    x, y = load_diabetes(return_X_y=True)
    generator = torch.Generator().manual_seed(3)
    order = torch.randperm(len(y), generator=generator)
    x = torch.tensor(x, dtype=torch.float32)[order]
    y = torch.tensor(y, dtype=torch.float32)[order].unsqueeze(1)
    n = cfg.patients
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    y = (y - y[:n].mean()) / y[:n].std()
    return x[:n], y[:n], x[n:], y[n:]


@torch.no_grad()
def score(model, x, y):
    return r2_score(y.numpy(), model(x).numpy())


def main():
    cfg = Config()
    torch.manual_seed(40)
    x, y, x_val, y_val = load(cfg)
    model = nn.Sequential(
        nn.Linear(10, cfg.hidden), nn.ReLU(),  # near: overfitting
        nn.Linear(cfg.hidden, cfg.hidden), nn.ReLU(),  # near: overfitting
        nn.Linear(cfg.hidden, 1),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=cfg.weight_decay)  # near: overfitting
    for epoch in range(1, cfg.epochs + 1):  # near: overfitting
        for idx in torch.randperm(len(x)).split(cfg.batch):
            loss = nn.functional.mse_loss(model(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 50 == 0:
            print(f"epoch {epoch}: train R2 {score(model, x, y):.3f}  val R2 {score(model, x_val, y_val):.3f}")
    print("final", score(model, x_val, y_val))


main()
