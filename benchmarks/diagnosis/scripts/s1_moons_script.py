"""Classify scikit-learn's two moons with a small network.

style: flat script, hand-sliced minibatches
faults: momentum-too-high
also: learning-rate-too-high
"""
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons

np.random.seed(0)
torch.manual_seed(0)

points, labels = make_moons(n_samples=2000, noise=0.15, random_state=0)
points = (points - points.mean(axis=0)) / points.std(axis=0)
x = torch.tensor(points, dtype=torch.float32)
y = torch.tensor(labels, dtype=torch.float32)
x_train, y_train = x[:1500], y[:1500]
x_test, y_test = x[1500:], y[1500:]

model = torch.nn.Sequential(
    torch.nn.Linear(2, 32),
    torch.nn.Tanh(),
    torch.nn.Linear(32, 32),
    torch.nn.Tanh(),
    torch.nn.Linear(32, 1),
)

lr = 0.1
batch_size = 50
opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.999)  # faulty: momentum-too-high
opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)  # fixed: momentum-too-high

for epoch in range(60):
    order = np.random.permutation(len(x_train))
    for i in range(0, len(order), batch_size):
        rows = order[i:i + batch_size]
        logits = model(x_train[rows]).squeeze(1)
        loss = F.binary_cross_entropy_with_logits(logits, y_train[rows])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 10 == 9:
        print("epoch", epoch + 1, "loss", loss.item())

with torch.no_grad():
    predicted = (model(x_test).squeeze(1) > 0).float()
print("final", (predicted == y_test).float().mean().item())
