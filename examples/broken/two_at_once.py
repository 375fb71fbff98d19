"""Tumours, told from measurements of very different sizes."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
cancer = load_breast_cancer()
x = torch.tensor(cancer.data, dtype=torch.float32)
y = torch.tensor(cancer.target)
train = TensorDataset(x[:400], y[:400])
net = nn.Sequential(nn.Linear(30, 24), nn.Tanh(), nn.Linear(24, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
criterion = nn.CrossEntropyLoss()
for epoch in range(30):
    net.train()
    for inputs, targets in DataLoader(train, batch_size=32, shuffle=True):
        loss = criterion(net(inputs), targets)
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        right = (net(x[400:]).argmax(1) == y[400:]).float().mean().item()
    print(f"epoch {epoch + 1}: accuracy {right:.3f}")
