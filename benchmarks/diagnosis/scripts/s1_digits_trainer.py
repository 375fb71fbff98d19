"""Train a three-layer network on handwritten digits with a trainer class.

style: Trainer class, dataclass config, DataLoader
faults: loss-not-averaged
also: learning-rate-too-high
"""
from dataclasses import dataclass, field

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset


@dataclass
class TrainConfig:
    hidden: list = field(default_factory=lambda: [96, 48])
    lr: float = 0.08
    momentum: float = 0.9
    batch_size: int = 64
    epochs: int = 25


def mlp(sizes):
    layers = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        if i:
            layers.append(nn.ReLU())
        layers.append(nn.Linear(n_in, n_out))
    return nn.Sequential(*layers)


class DigitsTrainer:
    def __init__(self, config: TrainConfig):
        self.config = config
        self.model = mlp([64, *config.hidden, 10])
        self.criterion = nn.CrossEntropyLoss(reduction="sum")  # faulty: loss-not-averaged
        self.criterion = nn.CrossEntropyLoss()  # fixed: loss-not-averaged
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=config.lr, momentum=config.momentum)

    def setup_data(self):
        data = load_digits()
        x = torch.tensor(data.data, dtype=torch.float32)
        y = torch.tensor(data.target)
        order = torch.randperm(len(x))
        train_rows, test_rows = order[:1350], order[1350:]
        x = (x - x[train_rows].mean()) / x[train_rows].std()
        dataset = TensorDataset(x, y)
        self.train_loader = DataLoader(Subset(dataset, train_rows.tolist()), self.config.batch_size, shuffle=True)
        self.test_loader = DataLoader(Subset(dataset, test_rows.tolist()), 500)

    def run(self):
        for epoch in range(self.config.epochs):
            self.model.train()
            for x, y in self.train_loader:
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(x), y)
                loss.backward()
                self.optimizer.step()
            if epoch % 5 == 0:
                print(f"epoch {epoch}: test accuracy {self.test():.3f}")

    def test(self):
        self.model.eval()
        correct = total = 0
        with torch.no_grad():
            for x, y in self.test_loader:
                correct += int((self.model(x).argmax(1) == y).sum())
                total += len(y)
        return correct / total


if __name__ == "__main__":
    torch.manual_seed(6)
    trainer = DigitsTrainer(TrainConfig())
    trainer.setup_data()
    trainer.run()
    print("final", trainer.test())
