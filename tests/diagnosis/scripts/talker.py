"""Reads standard input, writes to both streams, reads a file beside itself, exits with 3."""

import os
import sys
from pathlib import Path

import torch
from _digest import report

scale = float(sys.stdin.readline())
print("scale", scale, file=sys.stderr)
print(Path(__file__).name, Path(sys.argv[0]).name, sys.argv[1:], __name__, sys.path[0] != "")
print(len((Path(__file__).parent / "plain.py").read_text()) > 100, os.getcwd() == str(Path.cwd()))
torch.manual_seed(18)
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.01)
for _ in range(5):
    x = torch.randn(8, 3)
    optimizer.zero_grad()
    loss = scale * torch.nn.functional.mse_loss(net(x), x.sum(1, keepdim=True))
    loss.backward()
    optimizer.step()
report(net, optimizer)
sys.exit(3)
