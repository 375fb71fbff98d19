"""Predict five yes-or-no attributes of an image at once.

style: multi-label BCE, config namespace, apply-style reset with a prior, MultiStepLR
faults: dead-relu
"""
import math
from types import SimpleNamespace

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

cfg = SimpleNamespace(prior=0.01, width=80, lr=1e-3, epochs=30, batch=48, milestones=[20, 26], seed=17)


def attributes(digit):
    """even, prime, has a loop, at least five, written with a straight stroke"""
    return [digit % 2 == 0, digit in (2, 3, 5, 7), digit in (0, 6, 8, 9), digit >= 5, digit in (1, 4, 5, 7)]


class AttributeNet(nn.Module):
    def __init__(self, width, n_attributes, prior):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.trunk = nn.Linear(width, width)
        self.head = nn.Linear(width, n_attributes)
        self.reset(prior)

    def reset(self, prior):
        # attributes are rare at first sight: start from scores that say so
        bias_value = -math.log((1 - prior) / prior)
        for layer in self.modules():  # faulty: dead-relu
            if isinstance(layer, nn.Linear):  # faulty: dead-relu
                nn.init.constant_(layer.bias, bias_value)  # faulty: dead-relu
        nn.init.constant_(self.head.bias, bias_value)  # fixed

    def forward(self, x):
        x = F.relu(self.stem(x))  # near: dead-relu
        x = F.relu(self.trunk(x))  # near: dead-relu
        return self.head(x)


def macro_skill(net, x, y):
    """Mean over the attributes of the balanced accuracy."""
    with torch.no_grad():
        said = net(x) > 0
    yes = y > 0.5
    hit = (said & yes).sum(0) / yes.sum(0)
    miss = (~said & ~yes).sum(0) / (~yes).sum(0)
    return ((hit + miss) / 2).mean().item()


torch.manual_seed(cfg.seed)
digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32).div(16).sub(0.3)
y = torch.tensor([attributes(d) for d in digits.target]).float()
order = torch.randperm(len(x))
train, test = order[:1300], order[1300:]

net = AttributeNet(cfg.width, y.shape[1], cfg.prior)
optimizer = torch.optim.Adam(net.parameters(), lr=cfg.lr)
schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, cfg.milestones, gamma=0.3)
for epoch in range(cfg.epochs):
    for rows in train[torch.randperm(len(train))].split(cfg.batch):
        loss = F.binary_cross_entropy_with_logits(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    if (epoch + 1) % 5 == 0:
        print(f"epoch {epoch + 1:3d} loss {loss.item():.4f} balanced {macro_skill(net, x[test], y[test]):.3f}")
print(f"final {macro_skill(net, x[test], y[test]):.4f}")
