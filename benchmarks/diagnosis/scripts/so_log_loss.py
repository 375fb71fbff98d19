"""Logistic loss written by hand, for points inside of a disc and around it.

style: beginner functions, hand-sliced minibatches
faults: numerical-overflow
"""
import torch
from torch import nn


def make_rings(n):
    """Class 0 is the inner disc, class 1 the wide ring around it."""
    label = (torch.rand(n) < 0.5).float()
    radius = torch.where(label == 0, 0.5 * torch.rand(n), 0.7 + 2 * torch.rand(n))
    angle = 6.2832 * torch.rand(n)
    points = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return points, label.unsqueeze(1)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 64)
        self.hidden2 = nn.Linear(64, 64)
        self.output = nn.Linear(64, 1)

    def forward(self, x):
        x = torch.relu(self.hidden(x))
        x = torch.relu(self.hidden2(x))
        return torch.sigmoid(self.output(x))


def log_loss(p, y):
    p = p.clamp(1e-6, 1 - 1e-6)  # fixed: numerical-overflow
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # near: numerical-overflow


def accuracy(model, x, y):
    with torch.no_grad():
        return ((model(x) > 0.5).float() == y).float().mean().item()


torch.manual_seed(29)
x_train, y_train = make_rings(1600)
x_test, y_test = make_rings(400)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for epoch in range(60):
    total = 0
    perm = torch.randperm(len(x_train))
    for i in range(0, len(perm), 40):
        batch = perm[i:i + 40]
        loss = log_loss(model(x_train[batch]), y_train[batch])  # near: numerical-overflow
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 5 == 0:
        print("epoch", epoch, "loss", total / 40, "test accuracy", accuracy(model, x_test, y_test))

print("final", accuracy(model, x_test, y_test))
