"""A loss written out by hand that is NaN from some step on."""

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
y = torch.tensor(digits.target)
net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)


def loss_of(scores, labels):
    shares = torch.softmax(4 * scores, dim=1)
    right = shares[torch.arange(len(labels)), labels]
    return -torch.log(right).mean()


for epoch in range(15):
    for rows in torch.randperm(1400).split(64):
        optimizer.zero_grad()
        loss = loss_of(net(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.4f}")
