"""A scripted network with a traced part."""

import warnings

import torch
from _digest import report
from torch import nn

warnings.simplefilter("ignore")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.last = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


torch.manual_seed(12)
x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))
net = torch.jit.script(Net())
optimizer = torch.optim.SGD(net.parameters(), 0.1, nesterov=True, momentum=0.9)
for _ in range(30):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
report(*net.parameters(), optimizer)
