"""Activation checkpointing, both kinds, with dropout inside."""

import torch
from _digest import report
from torch import nn
from torch.utils.checkpoint import checkpoint


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.block = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.2))
        self.other = nn.Sequential(nn.Linear(16, 16), nn.ELU())
        self.last = nn.Linear(16, 2)

    def forward(self, x):
        x = checkpoint(self.block, self.first(x), use_reentrant=False)
        x = checkpoint(self.other, x, use_reentrant=True)
        return self.last(x)


torch.manual_seed(9)
x, y = torch.randn(48, 8), torch.randint(0, 2, (48,))
net = Net()
optimizer = torch.optim.Adagrad(net.parameters(), 0.05)
for _ in range(40):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
report(net, optimizer)
