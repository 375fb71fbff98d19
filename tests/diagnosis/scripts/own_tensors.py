"""No module at all: weights are tensors."""

import torch
from _digest import report

torch.manual_seed(7)
x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))
w1 = (torch.randn(6, 16) * 0.3).requires_grad_()
w2 = (torch.randn(16, 3) * 0.3).requires_grad_()
for _ in range(40):
    scores = torch.relu(x @ w1) @ w2
    loss = torch.nn.functional.cross_entropy(scores, y)
    loss.backward()
    with torch.no_grad():
        for w in (w1, w2):
            w -= 0.1 * w.grad
            w.grad = None
print(loss.item())
report(w1, w2)
