"""Run as ``-m package.train``: relative imports."""

import torch
from _digest import report

from .model import Net

if __name__ == "__main__":
    torch.manual_seed(20)
    net = Net()
    optimizer = torch.optim.NAdam(net.parameters(), 1e-3)
    for _ in range(20):
        x = torch.randn(16, 6)
        optimizer.zero_grad()
        torch.nn.functional.l1_loss(net(x), x[:, 0]).backward()
        optimizer.step()
    print(__package__)
    report(net, optimizer)
