"""Train a small network on handwritten digits with the one-cycle policy.

style: function fit, type hints
faults: none
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def prepare() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x, y, test_size=0.3, random_state=8, stratify=y)
    x_train, x_test = (torch.as_tensor(p, dtype=torch.float32) for p in parts[:2])
    y_train, y_test = (torch.as_tensor(p) for p in parts[2:])
    mean, std = x_train.mean(), x_train.std()
    return (x_train - mean) / std, y_train, (x_test - mean) / std, y_test


def fit(model: nn.Module, x: Tensor, y: Tensor, epochs: int = 25, batch: int = 64, max_lr: float = 0.3) -> None:
    steps = (len(x) + batch - 1) // batch
    optimizer = torch.optim.SGD(model.parameters(), lr=max_lr / 25, momentum=0.9)
    schedule = OneCycleLR(optimizer, max_lr=max_lr, epochs=epochs, steps_per_epoch=steps)
    for epoch in range(epochs):
        for idx in torch.randperm(len(x)).split(batch):
            loss = nn.functional.cross_entropy(model(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 5 == 4:
            print(epoch + 1, f"{loss.item():.4f}", f"lr={schedule.get_last_lr()[0]:.4f}")


if __name__ == "__main__":
    torch.manual_seed(2)
    x_train, y_train, x_test, y_test = prepare()
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    fit(net, x_train, y_train)
    with torch.no_grad():
        score = (net(x_test).argmax(1) == y_test).float().mean().item()
    print("final", round(score, 4))
