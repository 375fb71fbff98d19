"""A regression; R2 stays near 0, whatever the learning rate."""

import torch
from sklearn.datasets import make_friedman1
from torch import nn

torch.manual_seed(0)
x, y = make_friedman1(1200, random_state=0)
x = torch.tensor(x, dtype=torch.float32) * 2 - 1
y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        return self.layers(x)


model = Regressor()
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(20):
    for rows in torch.randperm(1000).split(32):
        loss = criterion(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = ((model(x[1000:]).squeeze(1) - y[1000:]) ** 2).mean()
    print(f"epoch {epoch + 1}: R2 {1 - error.item() / y[1000:].var().item():.3f}")
