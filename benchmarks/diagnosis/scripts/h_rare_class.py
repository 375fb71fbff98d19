"""Train a classifier for a rare class that makes up ten per cent of the data.

style: argparse, main guard
faults: none
"""
import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=32)
    return parser.parse_args()


def main():
    args = parse()
    torch.manual_seed(11)
    x, y = make_classification(
        n_samples=3000, n_features=12, n_informative=8, n_redundant=2, weights=[0.9, 0.1],
        class_sep=1.8, n_clusters_per_class=2, flip_y=0.0, random_state=5)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.3, stratify=y, random_state=0)
    mean, std = x_train.mean(0), x_train.std(0)
    x_train = torch.tensor((x_train - mean) / std, dtype=torch.float32)
    x_test = torch.tensor((x_test - mean) / std, dtype=torch.float32)
    y_train = torch.tensor(y_train)
    print("share of the rare class:", y_train.float().mean().item())

    net = nn.Sequential(
        nn.Linear(12, args.hidden), nn.ReLU(),
        nn.Linear(args.hidden, args.hidden), nn.ReLU(),
        nn.Linear(args.hidden, 2),
    )
    opt = torch.optim.Adam(net.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        total = 0.0
        for idx in torch.randperm(len(x_train)).split(args.batch_size):
            opt.zero_grad()
            loss = nn.functional.cross_entropy(net(x_train[idx]), y_train[idx])
            loss.backward()
            opt.step()
            total += loss.item() * len(idx)
        if epoch % 15 == 0:
            print(f"{epoch:3d} {total / len(x_train):.4f}")

    with torch.no_grad():
        predicted = net(x_test).argmax(1).numpy()
    print(f"final {balanced_accuracy_score(y_test, predicted):.4f}")


if __name__ == "__main__":
    main()
