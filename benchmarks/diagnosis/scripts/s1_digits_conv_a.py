"""Train a small convolutional network on 8x8 handwritten digits.

style: dataclass config, type hints, logging
faults: learning-rate-too-high
"""
from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
log = logging.getLogger(__name__)


@dataclass
class Config:
    channels: int = 16
    batch_size: int = 64
    epochs: int = 12
    learning_rate: float = 4.0  # faulty: learning-rate-too-high
    learning_rate: float = 0.05  # fixed: learning-rate-too-high
    momentum: float = 0.9
    test_size: int = 400


class ConvNet(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1)
        self.fc = nn.Linear(2 * channels * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


def load(cfg: Config) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    images, labels = images[order], labels[order]
    train_x, test_x = images[cfg.test_size:], images[:cfg.test_size]
    mean, std = train_x.mean(), train_x.std()
    return (train_x - mean) / std, labels[cfg.test_size:], (test_x - mean) / std, labels[:cfg.test_size]


def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def main(cfg: Config) -> None:
    torch.manual_seed(1)
    train_x, train_y, test_x, test_y = load(cfg)
    model = ConvNet(cfg.channels)
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.learning_rate, momentum=cfg.momentum)  # near: learning-rate-too-high
    for epoch in range(cfg.epochs):
        model.train()
        for batch in torch.randperm(len(train_x)).split(cfg.batch_size):
            loss = F.cross_entropy(model(train_x[batch]), train_y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        log.info("epoch %d loss %.4f accuracy %.3f", epoch, loss.item(), evaluate(model, test_x, test_y))
    print(f"final {evaluate(model, test_x, test_y):.4f}")


if __name__ == "__main__":
    main(Config())
