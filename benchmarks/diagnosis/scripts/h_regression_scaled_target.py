"""Predict a quantity in the hundreds from ten measurements.

style: class Standardizer, functions
faults: none
"""
import torch
from torch import nn
from sklearn.datasets import make_regression
from sklearn.model_selection import train_test_split


class Standardizer:
    def fit(self, values):
        self.mean, self.std = values.mean(0, keepdim=True), values.std(0, keepdim=True)
        return self

    def __call__(self, values):
        return (values - self.mean) / self.std

    def invert(self, values):
        return values * self.std + self.mean


def make_data():
    x, y = make_regression(n_samples=1200, n_features=10, n_informative=7, noise=15.0, bias=400.0, random_state=4)
    y = y + 40 * (x[:, 0] * x[:, 1])
    parts = train_test_split(x, y.reshape(-1, 1), test_size=0.25, random_state=0)
    return [torch.tensor(p, dtype=torch.float32) for p in parts]


torch.manual_seed(6)
x_train, x_test, y_train, y_test = make_data()
scale_x, scale_y = Standardizer().fit(x_train), Standardizer().fit(y_train)
print(f"target: mean {y_train.mean():.1f}, std {y_train.std():.1f}")

inputs, targets = scale_x(x_train), scale_y(y_train)
model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
criterion = nn.MSELoss()
for epoch in range(80):
    total = 0.0
    for idx in torch.randperm(len(inputs)).split(32):
        optimizer.zero_grad()
        loss = criterion(model(inputs[idx]), targets[idx])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
    if epoch % 20 == 19:
        print(f"epoch {epoch + 1} mse {total / len(inputs):.4f}")

with torch.no_grad():
    predicted = scale_y.invert(model(scale_x(x_test)))
rest = (y_test - predicted).pow(2).sum() / (y_test - y_test.mean()).pow(2).sum()
print(f"final {1 - rest.item():.4f}")
