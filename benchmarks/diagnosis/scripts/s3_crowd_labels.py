"""Train on digits that volunteers labelled in a hurry; the test images were labelled with care.

style: Trainer class with history, dataclass config, TensorDataset, checkpoint-free
faults: overfitting
"""
from dataclasses import dataclass, field

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class TrainConfig:
    epochs: int = 60
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.0  # faulty: overfitting
    weight_decay: float = 0.02  # fixed: overfitting
    careless: float = 0.45
    seed: int = 4


@dataclass
class History:
    train_loss: list = field(default_factory=list)
    train_acc: list = field(default_factory=list)
    test_acc: list = field(default_factory=list)

    def report(self, epoch):
        print(f"{epoch:3d} | loss {self.train_loss[-1]:.3f} | train {self.train_acc[-1]:.3f} | test {self.test_acc[-1]:.3f}")


def make_model():
    return nn.Sequential(
        nn.Linear(64, 512),
        nn.ReLU(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Linear(512, 10),
    )


def make_loaders(cfg):
    g = torch.Generator().manual_seed(cfg.seed)
    x, y = map(torch.tensor, load_digits(return_X_y=True))
    x = x.float() / 8 - 0.6
    order = torch.randperm(len(x), generator=g)
    x, y = x[order], y[order]
    guesses = torch.randint(0, 10, (1000,), generator=g)
    hurried = torch.where(torch.rand(1000, generator=g) < cfg.careless, guesses, y[:1000])
    train = DataLoader(TensorDataset(x[:1000], hurried), batch_size=cfg.batch_size, shuffle=True)
    test = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=400)
    return train, test


class Trainer:
    def __init__(self, cfg):
        self.cfg = cfg
        torch.manual_seed(cfg.seed)
        self.train_loader, self.test_loader = make_loaders(cfg)
        self.model = make_model()
        self.loss_fn = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=cfg.lr, weight_decay=cfg.weight_decay)
        self.history = History()

    def _train_epoch(self):
        self.model.train()
        loss_sum = hits = n = 0
        for x, y in self.train_loader:
            logits = self.model(x)
            loss = self.loss_fn(logits, y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.item() * len(y)
            hits += (logits.argmax(1) == y).sum().item()
            n += len(y)
        self.history.train_loss.append(loss_sum / n)
        self.history.train_acc.append(hits / n)

    @torch.no_grad()
    def _evaluate(self):
        self.model.eval()
        hits = n = 0
        for x, y in self.test_loader:
            hits += (self.model(x).argmax(1) == y).sum().item()
            n += len(y)
        self.history.test_acc.append(hits / n)

    def run(self):
        for epoch in range(1, self.cfg.epochs + 1):
            self._train_epoch()
            self._evaluate()
            if epoch % 5 == 0:
                self.history.report(epoch)
        return self.history.test_acc[-1]


if __name__ == "__main__":
    print("final", Trainer(TrainConfig()).run())
