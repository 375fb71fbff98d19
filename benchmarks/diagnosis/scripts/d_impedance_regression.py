"""Predict the impedance of a circuit from its four components.

style: script, hand-sliced minibatches
faults: shapes-broadcast, targets-not-scaled
"""
import torch
import torch.nn as nn
from sklearn.datasets import make_friedman2
from sklearn.metrics import r2_score

torch.manual_seed(0)

x, y = make_friedman2(n_samples=1600, noise=20.0, random_state=0)
x = torch.tensor(x, dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32)
x = (x - x[:1200].mean(0)) / x[:1200].std(0)
y = (y - y[:1200].mean()) / y[:1200].std()  # fixed: targets-not-scaled
x_train, y_train = x[:1200], y[:1200]
x_test, y_test = x[1200:], y[1200:]

model = nn.Sequential(
    nn.Linear(4, 48), nn.ReLU(),
    nn.Linear(48, 48), nn.ReLU(),
    nn.Linear(48, 1),
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

for epoch in range(15):
    perm = torch.randperm(len(x_train))
    total = 0.0
    for i in range(0, len(x_train), 40):
        idx = perm[i:i + 40]
        out = model(x_train[idx])  # faulty: shapes-broadcast
        out = model(x_train[idx]).squeeze(1)  # fixed
        loss = ((out - y_train[idx]) ** 2).mean()  # near: shapes-broadcast
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
    if epoch % 5 == 4:
        print("epoch", epoch + 1, "mse", total / len(x_train))

with torch.no_grad():
    predicted = model(x_test).flatten()
print("final", round(r2_score(y_test.numpy(), predicted.numpy()), 4))
