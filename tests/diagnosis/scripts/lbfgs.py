"""LBFGS: forward and backward inside optimizer.step, several times."""

import torch
from _digest import report
from torch import nn

torch.manual_seed(5)
x = torch.linspace(-1, 1, 40).unsqueeze(1)
y = torch.sin(3 * x)
net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1))
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=8)
for _ in range(6):

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        return loss

    print(optimizer.step(closure).item())
report(net, optimizer)
