"""Sparse gradients, two optimizers for one network, frozen parameters, float64."""

import torch
from _digest import report
from torch import nn

torch.manual_seed(17)
torch.set_default_dtype(torch.float64)
words, y = torch.randint(0, 50, (64, 4)), torch.randint(0, 2, (64,))


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(50, 8, sparse=True, mode="sum")
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.out = nn.Linear(8, 2)

    def forward(self, words):
        return self.out(torch.sigmoid(self.frozen(self.bag(words))))


net = Bag()
one = torch.optim.SparseAdam(net.bag.parameters(), 1e-2)
two = torch.optim.SGD(net.out.parameters(), 0.1)
for _ in range(30):
    one.zero_grad()
    two.zero_grad()
    nn.functional.nll_loss(nn.functional.log_softmax(net(words), 1), y).backward()
    one.step()
    two.step()
report(net, one, two)
