"""Standardise the pixels of the digits and classify them with a network in twenty lines.

style: blog post, terse, lambda helpers, loop over mini-batches from a generator
faults: non-finite-data
"""
import numpy as np
import torch
from sklearn.datasets import load_digits

rng = np.random.default_rng(7)
torch.manual_seed(7)

X, Y = load_digits(return_X_y=True)
mix = rng.permutation(len(X))
X, Y = X[mix], Y[mix]
n = 1350

# z-scores, with the statistics of the training part
mu, sigma = X[:n].mean(axis=0), X[:n].std(axis=0)
with np.errstate(all="ignore"):
    Z = (X - mu) / sigma  # faulty: non-finite-data
    Z = (X - mu) / np.where(sigma > 0, sigma, 1)  # fixed: non-finite-data
Z = torch.tensor(Z, dtype=torch.float32)  # near: non-finite-data
Y = torch.tensor(Y)


def minibatches(size=45):
    order = torch.from_numpy(rng.permutation(n))
    for i in range(0, n, size):
        yield Z[order[i:i + size]], Y[order[i:i + size]]  # near: non-finite-data


net = torch.nn.Sequential(
    torch.nn.Linear(64, 50), torch.nn.Tanh(),
    torch.nn.Linear(50, 50), torch.nn.Tanh(),
    torch.nn.Linear(50, 10),
)
accuracy = lambda x, y: (net(x).argmax(1) == y).float().mean().item()
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

for epoch in range(15):
    for x, y in minibatches():
        opt.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        opt.step()
    print(epoch, "train", round(accuracy(Z[:n], Y[:n]), 3), "test", round(accuracy(Z[n:], Y[n:]), 3))

print("final", accuracy(Z[n:], Y[n:]))
