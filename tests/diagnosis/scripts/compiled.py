"""torch.compile of a module, and of a function that the loss uses."""

import sys

import torch
from _digest import report
from torch import nn

torch.manual_seed(11)
x, y = torch.randn(64, 7), torch.randint(0, 3, (64,))
net = nn.Sequential(nn.Linear(7, 14), nn.ReLU(), nn.Linear(14, 3))
fast = torch.compile(net, backend="aot_eager")
criterion = nn.functional.cross_entropy
if "function" in sys.argv:

    @torch.compile(backend="aot_eager")
    def criterion(scores, targets):
        return nn.functional.cross_entropy(scores, targets) + 1e-4 * scores.square().mean()


if "inplace" in sys.argv:
    net.compile(backend="aot_eager")
    fast = net
optimizer = torch.optim.SGD(fast.parameters(), 0.1)
for _ in range(30):
    optimizer.zero_grad()
    criterion(fast(x), y).backward()
    optimizer.step()
with torch.no_grad():
    print(criterion(fast(x), y).item())
report(net, optimizer)
