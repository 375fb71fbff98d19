"""Train a network of four layers on handwritten digits.

style: class, logging
faults: loss-expects-logits, initialization-too-small
"""
import logging

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

logging.basicConfig(level=logging.INFO, format="%(message)s")
logger = logging.getLogger(__name__)


class DigitNet(nn.Module):
    def __init__(self, sizes=(64, 64, 48, 32)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(sizes[-1], 10)
        self.apply(self.initialize)

    @staticmethod
    def initialize(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)  # faulty: initialization-too-small
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # fixed
            nn.init.zeros_(module.bias)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return torch.softmax(self.out(x), dim=1)  # faulty: loss-expects-logits
        return self.out(x)  # fixed


torch.manual_seed(6)
x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=6, stratify=y)
mean, std = x_train.mean(), x_train.std()
x_train = torch.tensor((x_train - mean) / std, dtype=torch.float32)
x_test = torch.tensor((x_test - mean) / std, dtype=torch.float32)
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

model = DigitNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.8)
criterion = nn.CrossEntropyLoss()  # near: loss-expects-logits
for epoch in range(12):
    order = torch.randperm(len(x_train))
    for i in range(0, len(order), 32):
        rows = order[i:i + 32]
        optimizer.zero_grad()
        loss = criterion(model(x_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
    logger.info("epoch %d loss %.4f", epoch + 1, loss.item())

with torch.no_grad():
    score = (model(x_test).argmax(1) == y_test).float().mean().item()
print("final", score)
