"""Train a tumour classifier by maximum likelihood.

style: argparse, functions
faults: inputs-not-normalized, loss-sign-flipped
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split


def load(seed):
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
    x_train, x_test = torch.tensor(x_train).float(), torch.tensor(x_test).float()
    mean, std = x_train.mean(0), x_train.std(0)  # fixed: inputs-not-normalized
    x_train, x_test = (x_train - mean) / std, (x_test - mean) / std  # fixed: inputs-not-normalized
    return x_train, x_test, torch.tensor(y_train).float(), torch.tensor(y_test).float()


def log_likelihood(score, y):
    return (y * F.logsigmoid(score) + (1 - y) * F.logsigmoid(-score)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.05)
    args = parser.parse_args()

    torch.manual_seed(1)
    x_train, x_test, y_train, y_test = load(seed=1)
    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=args.rate, momentum=0.5)
    for epoch in range(args.epochs):
        for idx in torch.randperm(len(x_train)).split(args.batch):
            optimizer.zero_grad()
            loss = log_likelihood(net(x_train[idx]).squeeze(1), y_train[idx])  # faulty: loss-sign-flipped
            loss = -log_likelihood(net(x_train[idx]).squeeze(1), y_train[idx])  # fixed
            loss.backward()
            optimizer.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1} loss {loss.item():.4f}")
    with torch.no_grad():
        guess = (net(x_test).squeeze(1) > 0).float()
        print(f"final {(guess == y_test).float().mean().item():.4f}")


if __name__ == "__main__":
    main()
