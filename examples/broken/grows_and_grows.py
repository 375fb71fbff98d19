"""A convolutional network whose loss first falls and then grows."""

import torch
import torch.nn as nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
y = torch.tensor(digits.target)

net = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
loss_fn = nn.CrossEntropyLoss()
step = 0
for epoch in range(12):
    order = torch.randperm(1400)
    for start in range(0, 1400, 50):
        rows = order[start : start + 50]
        loss = loss_fn(net(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(step, loss.item())
