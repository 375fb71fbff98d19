"""Pretrain a small convolutional backbone on the digits 0 to 4, then train a new head for 5 to 9 on top of it.

style: functions, main guard
faults: none
"""
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def batches(x, y, size):
    order = torch.randperm(len(x))
    for i in range(0, len(x), size):
        idx = order[i:i + size]
        yield x[idx], y[idx]


def fit(model, params, x, y, epochs, lr):
    optimizer = torch.optim.Adam(params, lr=lr)
    for epoch in range(epochs):
        total = 0.0
        for xb, yb in batches(x, y, 64):
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(xb)
        if epoch % 10 == 9:
            print(f"  epoch {epoch + 1:3d}  loss {total / len(x):.4f}")


def main():
    torch.manual_seed(3)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16 - 0.3
    y = torch.tensor(digits.target)
    low, high = y < 5, y >= 5

    backbone = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )
    source = nn.Sequential(backbone, nn.Linear(512, 5))
    print("pretraining on 0-4")
    fit(source, source.parameters(), x[low], y[low], epochs=10, lr=2e-3)

    for p in backbone.parameters():
        p.requires_grad_(False)
    head = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 5))
    target = nn.Sequential(backbone, head)
    x_train, x_test, y_train, y_test = train_test_split(
        x[high], y[high] - 5, test_size=0.3, random_state=0)
    print("training the head for 5-9")
    fit(target, head.parameters(), x_train, y_train, epochs=40, lr=2e-3)
    with torch.no_grad():
        accuracy = (target(x_test).argmax(1) == y_test).float().mean().item()
    print(f"final {accuracy:.4f}")


if __name__ == "__main__":
    main()
