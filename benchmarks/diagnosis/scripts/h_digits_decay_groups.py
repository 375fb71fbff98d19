"""Train a network with decoupled weight decay and separate parameter groups on handwritten digits.

style: dataclass config, Trainer class
faults: none
"""
from dataclasses import dataclass

import torch
from torch import nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Config:
    hidden: int = 128
    lr_trunk: float = 2e-3
    lr_head: float = 4e-3
    weight_decay: float = 0.5
    epochs: int = 40
    batch_size: int = 64


class Trainer:
    def __init__(self, config):
        self.config = config
        torch.manual_seed(0)
        x, y = load_digits(return_X_y=True)
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
        scaler = StandardScaler().fit(x_train)
        as_x = lambda a: torch.tensor(scaler.transform(a), dtype=torch.float32)
        self.train_set = TensorDataset(as_x(x_train), torch.tensor(y_train))
        self.x_test, self.y_test = as_x(x_test), torch.tensor(y_test)
        self.trunk = nn.Sequential(
            nn.Linear(64, config.hidden), nn.ReLU(),
            nn.Linear(config.hidden, config.hidden), nn.ReLU(),
        )
        self.head = nn.Linear(config.hidden, 10)
        self.model = nn.Sequential(self.trunk, self.head)
        self.optimizer = torch.optim.AdamW(self.groups())
        self.criterion = nn.CrossEntropyLoss()

    def groups(self):
        wd = self.config.weight_decay
        weights = [p for p in self.trunk.parameters() if p.ndim > 1]
        biases = [p for p in self.trunk.parameters() if p.ndim == 1]
        return [
            {"params": weights, "lr": self.config.lr_trunk, "weight_decay": wd},
            {"params": biases, "lr": self.config.lr_trunk, "weight_decay": 0.0},
            {"params": self.head.parameters(), "lr": self.config.lr_head, "weight_decay": wd},
        ]

    def fit(self):
        loader = DataLoader(self.train_set, batch_size=self.config.batch_size, shuffle=True)
        for epoch in range(self.config.epochs):
            for xb, yb in loader:
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(xb), yb)
                loss.backward()
                self.optimizer.step()
            if (epoch + 1) % 10 == 0:
                norm = sum(p.pow(2).sum() for p in self.model.parameters()).sqrt().item()
                print(f"epoch {epoch + 1} loss {loss.item():.4f} weight norm {norm:.2f}")

    @torch.no_grad()
    def score(self):
        return (self.model(self.x_test).argmax(1) == self.y_test).float().mean().item()


trainer = Trainer(Config())
trainer.fit()
print(f"final {trainer.score():.4f}")
