"""Train a digit classifier for a given number of steps.

style: functions, logging, steps instead of epochs
faults: same-batch-repeated
"""
import logging

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
STEPS = 1500


def loaders(batch_size=24):
    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32) / 16
    y = torch.tensor(y)
    a, b = train_test_split(range(len(x)), test_size=0.3, random_state=8)
    train = DataLoader(TensorDataset(x[a], y[a]), batch_size=batch_size, shuffle=True, drop_last=True)
    test = DataLoader(TensorDataset(x[b], y[b]), batch_size=200)
    return train, test


def forever(loader):
    while True:
        yield from loader


def evaluate(model, loader):
    model.eval()
    right = total = 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()
            total += len(y)
    model.train()
    return right / total


def train(model, train_loader, test_loader):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    x, y = next(iter(train_loader))  # faulty: same-batch-repeated
    batches = forever(train_loader)  # fixed: same-batch-repeated
    for step in range(1, STEPS + 1):  # near: same-batch-repeated
        x, y = next(batches)  # fixed: same-batch-repeated
        optimizer.zero_grad()
        loss = criterion(model(x), y)  # near: same-batch-repeated
        loss.backward()
        optimizer.step()
        if step % 300 == 0:
            logging.info("step %d loss %.4f test accuracy %.3f", step, loss.item(), evaluate(model, test_loader))


if __name__ == "__main__":
    torch.manual_seed(31)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    train_loader, test_loader = loaders()
    train(net, train_loader, test_loader)
    print("final", evaluate(net, test_loader))
