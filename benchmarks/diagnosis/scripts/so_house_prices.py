"""Predict prices of houses from their area, rooms, year and distance to the centre.

style: beginner script with functions
faults: inputs-not-normalized, targets-not-scaled
"""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def get_houses(n):
    area = 40 + 160 * torch.rand(n)
    rooms = torch.randint(1, 7, (n,)).float()
    year = torch.randint(1900, 2024, (n,)).float()
    distance = 30 * torch.rand(n)
    price = 3000 * area + 15000 * rooms + 800 * (year - 1900) - 120 * area * distance / 3 + 20000 * torch.randn(n)
    return torch.stack([area, rooms, year, distance], dim=1), price.unsqueeze(1)


def train(model, loader, epochs):
    loss_fn = nn.MSELoss()
    opt = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    step = 0
    for epoch in range(epochs):
        for x, y in loader:  # near: inputs-not-normalized
            pred = model(x)
            loss = loss_fn(pred, y)  # near: targets-not-scaled
            opt.zero_grad()
            loss.backward()
            opt.step()
            step += 1
            if step < 5:
                print("step", step, "loss", loss.item())
        if epoch % 10 == 0:
            print("epoch", epoch, "loss", loss.item())


torch.manual_seed(50)
features, prices = get_houses(1200)  # near: targets-not-scaled
x_mean, x_std = features[:900].mean(0), features[:900].std(0)  # fixed: inputs-not-normalized
y_mean, y_std = prices[:900].mean(), prices[:900].std()  # fixed: targets-not-scaled
features = (features - x_mean) / x_std  # fixed: inputs-not-normalized
prices = (prices - y_mean) / y_std  # fixed: targets-not-scaled

model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
train_loader = DataLoader(TensorDataset(features[:900], prices[:900]), batch_size=32, shuffle=True)
train(model, train_loader, epochs=60)

with torch.no_grad():
    prediction = torch.nan_to_num(model(features[900:]))
truth = prices[900:]
print("some predictions", prediction[:5].flatten().tolist())
print("final", (1 - ((truth - prediction) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()).item())
