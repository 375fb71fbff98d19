"""Updates without an optimizer, as the tutorials write them."""

import torch
from _digest import report
from torch import nn

torch.manual_seed(6)
x = torch.randn(100, 3)
y = x.sum(1, keepdim=True)
net = nn.Sequential(nn.Linear(3, 8), nn.Sigmoid(), nn.Linear(8, 1))
for _ in range(50):
    loss = ((net(x) - y) ** 2).mean()
    net.zero_grad()
    loss.backward()
    for p in net.parameters():
        p.data -= 0.1 * p.grad
print(loss.item())
report(net)
