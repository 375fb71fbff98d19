"""Hooks of the user's own, weight norm, a gradient penalty, shared weights, retained graphs."""

import copy
import io

import torch
from _digest import report
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = weight_norm(nn.Linear(5, 10))
        self.shared = nn.Linear(10, 10)
        self.last = nn.Linear(10, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        x = Own.apply(self.first(x))
        x = self.shared(torch.tanh(self.shared(x)))
        return self.last(x)


torch.manual_seed(16)
x, y = torch.randn(40, 5), torch.randint(0, 2, (40,))
net = Net()
seen = []
net.last.register_forward_hook(lambda *_: seen.append(1))
net.register_full_backward_hook(lambda *_: seen.append(2))
ema = copy.deepcopy(net)
optimizer = torch.optim.Adam(
    [{"params": net.first.parameters(), "lr": 1e-2}, {"params": net.shared.parameters()},
     {"params": net.last.parameters(), "weight_decay": 0.1}], lr=1e-3,
)  # fmt: skip
for step in range(30):
    optimizer.zero_grad()
    inputs = x.clone().requires_grad_()
    scores = net(inputs)
    (slope,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    loss = nn.functional.cross_entropy(scores, y) + 0.1 * (slope.norm(dim=1) - 1).square().mean()
    loss.backward(retain_graph=True)
    optimizer.step()
    with torch.no_grad():
        for mean, now in zip(ema.parameters(), net.parameters(), strict=True):
            mean.lerp_(now, 0.1)
    if step % 10 == 0:
        copied = copy.deepcopy(net.shared)
        file = io.BytesIO()
        torch.save(copied, file)
        print(len(file.getvalue()), len(seen))
report(net, ema, optimizer)
