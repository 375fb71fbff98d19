"""Estimate the yearly revenue of shops from their properties.

style: class, TensorDataset, dataclass config
faults: targets-not-scaled
"""
from dataclasses import dataclass

import torch
from sklearn.datasets import make_regression
from sklearn.metrics import r2_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Settings:
    lr: float = 1e-3
    batch_size: int = 32
    epochs: int = 50
    hidden: int = 64


class RevenueModel:
    def __init__(self, settings):
        self.settings = settings
        self.net = nn.Sequential(
            nn.Linear(8, settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, settings.hidden), nn.ReLU(),
            nn.Linear(settings.hidden, 1),
        )
        self.shift, self.scale = 0.0, 1.0

    def fit(self, x, y):
        self.shift, self.scale = y.mean(), y.std()  # fixed: targets-not-scaled
        y = (y - self.shift) / self.scale  # near: targets-not-scaled
        loader = DataLoader(TensorDataset(x, y), batch_size=self.settings.batch_size, shuffle=True)
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.settings.lr)
        criterion = nn.MSELoss()  # near: targets-not-scaled
        for epoch in range(self.settings.epochs):
            losses = []
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(self.net(xb), yb)  # near: targets-not-scaled
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            if epoch % 10 == 9:
                print(f"epoch {epoch + 1}: mse {sum(losses) / len(losses):.4g}")

    @torch.no_grad()
    def predict(self, x):
        return self.net(x) * self.scale + self.shift


def load():
    x, y = make_regression(n_samples=1000, n_features=8, n_informative=6, noise=10.0, random_state=4)
    revenue = 350_000 + 900 * y
    x = torch.tensor(x, dtype=torch.float32)
    revenue = torch.tensor(revenue, dtype=torch.float32).unsqueeze(1)  # near: targets-not-scaled
    return x[:750], revenue[:750], x[750:], revenue[750:]


if __name__ == "__main__":
    torch.manual_seed(8)
    x_train, y_train, x_test, y_test = load()
    model = RevenueModel(Settings())
    model.fit(x_train, y_train)
    print("final", r2_score(y_test.numpy(), model.predict(x_test).numpy()))
