"""Gradients accumulated over four backwards on purpose; a penalty added by hand."""

import torch
from _digest import report
from torch import nn

torch.manual_seed(3)
x = torch.randn(128, 10)
y = (x @ torch.randn(10, 1)).tanh()
net = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(net.parameters(), 1e-2)
for step in range(60):
    part = slice(step % 4 * 32, step % 4 * 32 + 32)
    penalty = 1e-3 * sum(p.abs().sum() for p in net.parameters())
    loss = (nn.functional.mse_loss(net(x[part]), y[part]) + penalty) / 4
    loss.backward()
    if step % 4 == 3:
        optimizer.step()
        optimizer.zero_grad()
report(net, optimizer)
