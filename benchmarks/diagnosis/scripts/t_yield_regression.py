"""Predict a yield in kilograms from five growing conditions.

style: class with fit, dataclass config
faults: targets-not-scaled, missing-nonlinearity, gradients-not-cleared
"""
from dataclasses import dataclass

import torch
from torch import nn
from sklearn.datasets import make_friedman1
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Config:
    hidden: int = 48
    epochs: int = 40
    batch_size: int = 32
    lr: float = 2e-3


def yields(n, seed):
    x, y = make_friedman1(n_samples=n, n_features=5, noise=0.4, random_state=seed)
    return torch.tensor(x, dtype=torch.float32), 1500.0 + 60.0 * torch.tensor(y, dtype=torch.float32).unsqueeze(1)


class YieldModel:
    def __init__(self, config):
        self.config = config
        self.net = nn.Sequential(
            nn.Linear(5, config.hidden),
            nn.ReLU(),  # fixed: missing-nonlinearity
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),  # fixed: missing-nonlinearity
            nn.Linear(config.hidden, 1),
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.lr)

    def fit(self, x, y):
        self.mean, self.std = x.mean(0), x.std(0)
        self.offset, self.scale = 0.0, 1.0  # faulty: targets-not-scaled
        self.offset, self.scale = y.mean(), y.std()  # fixed
        data = TensorDataset((x - self.mean) / self.std, (y - self.offset) / self.scale)
        loader = DataLoader(data, batch_size=self.config.batch_size, shuffle=True)
        for epoch in range(self.config.epochs):
            total = 0.0
            for xb, yb in loader:
                loss = nn.functional.mse_loss(self.net(xb), yb)
                self.optimizer.zero_grad()  # fixed: gradients-not-cleared
                loss.backward()  # near: gradients-not-cleared
                self.optimizer.step()
                total += loss.item()
            if epoch % 10 == 9:
                print(f"epoch {epoch + 1} loss {total / len(loader):.4f}")

    @torch.no_grad()
    def predict(self, x):
        return self.net((x - self.mean) / self.std) * self.scale + self.offset


torch.manual_seed(1)
x_train, y_train = yields(1000, seed=1)
x_test, y_test = yields(500, seed=2)
model = YieldModel(Config())
model.fit(x_train, y_train)
rest = (model.predict(x_test) - y_test).pow(2).sum()
print("final", 1 - (rest / (y_test - y_test.mean()).pow(2).sum()).item())
