"""Train a two-layer network on digits, after a tutorial on loaders.

style: beginner script, DataLoader
faults: parameters-not-optimized
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
y = torch.tensor(digits.target)
train_loader = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=40, shuffle=True)
test_loader = DataLoader(TensorDataset(x[1400:], y[1400:]), batch_size=100)

net = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
loss_fn = nn.CrossEntropyLoss()
opt = torch.optim.Adam(net.parameters(), lr=2e-3)

for epoch in range(12):
    running = 0.0
    for inputs, labels in train_loader:
        opt.zero_grad()
        loss = loss_fn(net(inputs), labels)
        loss.backward()  # near: parameters-not-optimized
        opt.step  # faulty: parameters-not-optimized
        opt.step()  # fixed
        running += loss.item()
    print("epoch", epoch, "loss", round(running / len(train_loader), 4))

correct = total = 0
with torch.no_grad():
    for inputs, labels in test_loader:
        correct += (net(inputs).argmax(1) == labels).sum().item()
        total += len(labels)
print("final", correct / total)
