"""Train a tanh network on handwritten digits with hand-written updates.

style: raw tensors, no optimizer
faults: none
"""
import torch
from sklearn.datasets import load_digits

torch.manual_seed(1)


def xavier(n_in, n_out):
    limit = (6.0 / (n_in + n_out)) ** 0.5
    return (torch.rand(n_in, n_out) * 2 - 1).mul_(limit).requires_grad_()


data = load_digits()
x = torch.tensor(data.data, dtype=torch.float32)
x = (x - x.mean(0)) / (x.std(0) + 0.5)
y = torch.tensor(data.target)
perm = torch.randperm(len(x))
x, y = x[perm], y[perm]
xtr, ytr, xte, yte = x[:1300], y[:1300], x[1300:], y[1300:]

w1, b1 = xavier(64, 50), torch.zeros(50, requires_grad=True)
w2, b2 = xavier(50, 30), torch.zeros(30, requires_grad=True)
w3, b3 = xavier(30, 10), torch.zeros(10, requires_grad=True)
params = [w1, b1, w2, b2, w3, b3]


def forward(x):
    h = torch.tanh(x @ w1 + b1)
    h = torch.tanh(h @ w2 + b2)
    return h @ w3 + b3


lr = 0.1
for epoch in range(50):
    order = torch.randperm(len(xtr))
    total = 0.0
    for i in range(0, len(xtr), 32):
        idx = order[i:i + 32]
        loss = torch.nn.functional.cross_entropy(forward(xtr[idx]), ytr[idx])
        loss.backward()
        with torch.no_grad():
            for p in params:
                p -= lr * p.grad
                p.grad = None
        total += loss.item() * len(idx)
    if epoch % 10 == 0:
        print("epoch", epoch, "loss", round(total / len(xtr), 4))

with torch.no_grad():
    print("final", (forward(xte).argmax(1) == yte).float().mean().item())
