"""Fit two interleaving moons with eight hidden units and full-batch L-BFGS.

style: script, closure
faults: none
"""
import torch
from sklearn.datasets import make_moons

torch.manual_seed(13)


def data(n, seed):
    x, y = make_moons(n, noise=0.15, random_state=seed)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


x_train, y_train = data(400, seed=1)
x_test, y_test = data(1000, seed=2)
mean, std = x_train.mean(0), x_train.std(0)
x_train, x_test = (x_train - mean) / std, (x_test - mean) / std

net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
loss_fn = torch.nn.BCEWithLogitsLoss()
optimizer = torch.optim.LBFGS(net.parameters(), lr=1.0, max_iter=10, history_size=10,
                              line_search_fn="strong_wolfe")


def objective():
    penalty = sum(p.pow(2).sum() for p in net.parameters())
    return loss_fn(net(x_train).flatten(), y_train) + 1e-4 * penalty


def closure():
    optimizer.zero_grad()
    loss = objective()
    loss.backward()
    return loss


for step in range(60):
    loss = optimizer.step(closure)
    if step % 10 == 0:
        print(f"step {step}: {loss.item():.5f}")

with torch.no_grad():
    hits = (net(x_test).flatten() > 0) == (y_test > 0.5)
print("final", hits.float().mean().item())
