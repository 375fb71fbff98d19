"""Train a ten-layer perceptron on handwritten digits.

style: argparse, functions, logging
faults: vanishing-gradients
"""
import argparse
import logging

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger("digits")


def build(depth, width):
    layers, size = [], 64
    for _ in range(depth):
        linear = nn.Linear(size, width)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Sigmoid()]  # faulty: vanishing-gradients
        layers += [linear, nn.ReLU()]  # fixed: vanishing-gradients
        size = width
    return nn.Sequential(*layers, nn.Linear(size, 10))


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--epochs", type=int, default=25)
    args = parser.parse_args()

    torch.manual_seed(0)
    data, target = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(data / 16.0, target, test_size=0.3, random_state=1)
    x_train, x_test = (torch.tensor(a, dtype=torch.float32) for a in (x_train, x_test))
    y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
    mean, std = x_train.mean(), x_train.std()
    x_train, x_test = (x_train - mean) / std, (x_test - mean) / std

    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    model = build(args.depth, args.width)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    for epoch in range(1, args.epochs + 1):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        if epoch % 5 == 0:
            log.info("epoch %d loss %.4f accuracy %.3f", epoch, loss.item(), accuracy(model, x_test, y_test))
    print("final", accuracy(model, x_test, y_test))


if __name__ == "__main__":
    main()
