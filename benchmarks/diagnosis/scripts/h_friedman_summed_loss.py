"""Train a regression network on the Friedman problem with a summed squared error and batches of eight.

style: custom Dataset, functions
faults: none
"""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from sklearn.datasets import make_friedman1

torch.manual_seed(0)


class Friedman(Dataset):
    def __init__(self, n, seed, stats=None):
        x, y = make_friedman1(n_samples=n, n_features=6, noise=0.5, random_state=seed)
        self.stats = stats or (x.mean(0), x.std(0), y.mean(), y.std())
        mx, sx, my, sy = self.stats
        self.x = torch.tensor((x - mx) / sx, dtype=torch.float32)
        self.y = torch.tensor((y - my) / sy, dtype=torch.float32).unsqueeze(1)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def run_epoch(model, loader, optimizer):
    criterion = nn.MSELoss(reduction="sum")
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader.dataset)


train = Friedman(800, seed=1)
test = Friedman(500, seed=2, stats=train.stats)
model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
# the loss is a sum over 8 samples, hence the rate
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
loader = DataLoader(train, batch_size=8, shuffle=True)
for epoch in range(50):
    mse = run_epoch(model, loader, optimizer)
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1} mse {mse:.4f}")

with torch.no_grad():
    residual = test.y - model(test.x)
r2 = 1 - (residual.pow(2).sum() / (test.y - test.y.mean()).pow(2).sum()).item()
print("final", round(r2, 4))
