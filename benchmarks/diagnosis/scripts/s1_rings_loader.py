"""Classify points into nested rings with a network trained from a DataLoader.

style: argparse, TensorDataset, random_split
faults: batch-size-unsuited
also: too-few-steps, learning-rate-too-low
"""
import argparse

import torch
from sklearn.datasets import make_gaussian_quantiles
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

p = argparse.ArgumentParser(description="nested rings")
p.add_argument("--epochs", type=int, default=15)
p.add_argument("--bs", type=int, default=8192)  # faulty: batch-size-unsuited
p.add_argument("--bs", type=int, default=64)  # fixed: batch-size-unsuited
p.add_argument("--lr", type=float, default=2e-3)
p.add_argument("--width", type=int, default=64)
args = p.parse_args()

torch.manual_seed(42)

features, rings = make_gaussian_quantiles(n_samples=8000, n_features=2, n_classes=4, random_state=42)
inputs = torch.from_numpy(features).float()
inputs = (inputs - inputs.mean(0)) / inputs.std(0)
dataset = TensorDataset(inputs, torch.from_numpy(rings))
train_set, test_set = random_split(dataset, [7000, 1000])
train_loader = DataLoader(train_set, batch_size=args.bs, shuffle=True)  # near: batch-size-unsuited
test_loader = DataLoader(test_set, batch_size=1000)

model = nn.Sequential(
    nn.Linear(2, args.width), nn.ReLU(),
    nn.Linear(args.width, args.width), nn.ReLU(),
    nn.Linear(args.width, 4),
)
loss_fn = nn.CrossEntropyLoss()
optim = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(1, args.epochs + 1):
    model.train()
    seen, total = 0, 0.0
    for xb, yb in train_loader:
        optim.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optim.step()
        seen += len(yb)
        total += loss.item() * len(yb)
    model.eval()
    with torch.no_grad():
        correct = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in test_loader)
    acc = correct / len(test_set)
    print(f"[{epoch}/{args.epochs}] loss={total / seen:.3f} acc={acc:.3f}")

print(f"final {acc:.4f}")
