"""Detect rare failures of a production line.

style: functions, argparse, TensorDataset
faults: classes-imbalanced
"""
import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--lr", type=float, default=0.001)
parser.add_argument("--batch-size", type=int, default=64)
args = parser.parse_args()
torch.manual_seed(4)


def data():
    x, y = make_classification(
        n_samples=5000, n_features=12, n_informative=6, n_redundant=0, class_sep=1.3, flip_y=0.0,
        n_clusters_per_class=2, weights=[0.98], random_state=12,  # near: classes-imbalanced
    )
    x = (x - x.mean(0)) / x.std(0)
    parts = train_test_split(x, y, test_size=0.4, stratify=y, random_state=0)
    return [torch.tensor(p, dtype=torch.float32) for p in parts]


x_train, x_test, y_train, y_test = data()
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=args.batch_size, shuffle=True)  # near: classes-imbalanced
model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))
criterion = nn.BCEWithLogitsLoss()  # faulty: classes-imbalanced
positives = y_train.mean()  # fixed: classes-imbalanced
criterion = nn.BCEWithLogitsLoss(pos_weight=(1 - positives) / positives)  # fixed: classes-imbalanced
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)


def score():
    with torch.no_grad():
        alarm = model(x_test).squeeze(1) > 0
    return balanced_accuracy_score(y_test.numpy(), alarm.numpy())


for epoch in range(args.epochs):
    total = 0.0
    for x, y in loader:
        loss = criterion(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"[{epoch + 1}/{args.epochs}] loss {total / len(loader):.4f} balanced accuracy {score():.3f}")

print("final", score())
