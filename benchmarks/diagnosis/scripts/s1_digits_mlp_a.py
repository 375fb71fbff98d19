"""Train a small multilayer perceptron on scikit-learn's handwritten digits.

style: functions, argparse, DataLoader
faults: learning-rate-too-low
also: optimizer-unsuited
"""
import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-4)  # faulty: learning-rate-too-low
    parser.add_argument("--lr", type=float, default=0.1)  # fixed: learning-rate-too-low
    return parser.parse_args()


def get_data(batch_size):
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.data / 16.0, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
    mean = x_train.mean()
    std = x_train.std()
    train = TensorDataset(torch.tensor((x_train - mean) / std, dtype=torch.float32), torch.tensor(y_train))
    test = TensorDataset(torch.tensor((x_test - mean) / std, dtype=torch.float32), torch.tensor(y_test))
    return DataLoader(train, batch_size=batch_size, shuffle=True), DataLoader(test, batch_size=256)


def train_epoch(model, loader, criterion, optimizer):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    return total / len(loader.dataset)


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    hits = sum((model(x).argmax(dim=1) == y).sum().item() for x, y in loader)
    return hits / len(loader.dataset)


def main():
    args = get_args()
    torch.manual_seed(0)
    train_loader, test_loader = get_data(args.batch_size)
    model = nn.Sequential(
        nn.Linear(64, args.hidden),
        nn.ReLU(),
        nn.Linear(args.hidden, args.hidden),
        nn.ReLU(),
        nn.Linear(args.hidden, 10),
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)  # near: learning-rate-too-low
    for epoch in range(args.epochs):
        loss = train_epoch(model, train_loader, criterion, optimizer)
        if epoch % 5 == 0:
            print(f"epoch {epoch:3d}  loss {loss:.4f}  test accuracy {accuracy(model, test_loader):.3f}")
    print(f"final {accuracy(model, test_loader):.4f}")


if __name__ == "__main__":
    main()
