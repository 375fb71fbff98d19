"""Train a regularised digit network and report its accuracy on held-out images.

style: functions, argparse, DataLoader
faults: wrong-mode
"""
import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_model(hidden):
    return nn.Sequential(
        nn.Linear(64, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, 10),
    )


def fit(model, loader, epochs, lr):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        print(f"epoch {epoch + 1} loss {total / len(loader.dataset):.4f}")


def test(model, loader):
    model.eval()  # fixed: wrong-mode
    correct = 0
    with torch.no_grad():  # near: wrong-mode
        for x, y in loader:
            correct += (model(x).argmax(1) == y).sum().item()  # near: wrong-mode
    return correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(14)

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16.0, y, test_size=0.3, random_state=11)
    train_set = TensorDataset(torch.tensor(x_train).float(), torch.tensor(y_train))
    test_set = TensorDataset(torch.tensor(x_test).float(), torch.tensor(y_test))
    model = make_model(args.hidden)
    fit(model, DataLoader(train_set, batch_size=32, shuffle=True, drop_last=True), args.epochs, args.lr)
    print("final", test(model, DataLoader(test_set, batch_size=4)))


if __name__ == "__main__":
    main()
