"""Train a wide network with sparse hidden features on handwritten digits.

style: module, hand-sliced minibatches
faults: none
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits

torch.manual_seed(7)

digits = load_digits()
x = torch.from_numpy(digits.data).float()
y = torch.from_numpy(digits.target).long()
perm = torch.randperm(len(x))
x, y = x[perm], y[perm]
x_train, y_train, x_test, y_test = x[:1300], y[:1300], x[1300:], y[1300:]
mu, sd = x_train.mean(0), x_train.std(0) + 1.0
x_train, x_test = (x_train - mu) / sd, (x_test - mu) / sd


class SparseNet(nn.Module):
    """Biases start below zero so that each input wakes up only a few of the units."""

    def __init__(self, width=512):
        super().__init__()
        self.features = nn.Linear(64, width)
        self.out = nn.Linear(width, 10)
        nn.init.kaiming_normal_(self.features.weight, nonlinearity="relu")
        nn.init.constant_(self.features.bias, -1.4)

    def forward(self, x):
        h = torch.relu(self.features(x))
        return self.out(h)


model = SparseNet()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.CrossEntropyLoss()
batch = 50

for epoch in range(40):
    order = torch.randperm(len(x_train))
    running = 0.0
    for start in range(0, len(order), batch):
        idx = order[start:start + batch]
        logits = model(x_train[idx])
        loss = loss_fn(logits, y_train[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item()
    if epoch % 10 == 0:
        with torch.no_grad():
            active = (model.features(x_test) > 0).float()
        print(f"epoch {epoch:2d} loss {running * batch / len(order):.4f} active {active.mean():.2f} "
              f"units in use {(active.sum(0) > 0).float().mean():.2f}")

with torch.no_grad():
    acc = (model(x_test).argmax(dim=1) == y_test).float().mean()
print("final", acc.item())
