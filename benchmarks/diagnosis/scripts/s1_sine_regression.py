"""Fit a noisy chirp with a fully connected network.

style: flat functions, numpy batches, logging
faults: regularization-too-strong
"""
import logging

import numpy as np
import torch
from torch import nn

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logger = logging.getLogger("chirp")


def chirp(n, rng):
    t = rng.uniform(-1, 1, size=(n, 1))
    value = np.sin(3 * t + 4 * t ** 2) + rng.normal(0, 0.05, size=(n, 1))
    return t.astype(np.float32), value.astype(np.float32)


def penalty(model):
    return sum(p.abs().sum() for name, p in model.named_parameters() if name.endswith("weight"))


def batches(t, value, size, rng):
    order = rng.permutation(len(t))
    for start in range(0, len(order), size):
        rows = order[start:start + size]
        yield torch.from_numpy(t[rows]), torch.from_numpy(value[rows])


def train(model, t, value, rng, epochs=80, batch_size=50, lr=3e-3):
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    strength = 0.01  # faulty: regularization-too-strong
    strength = 1e-6  # fixed: regularization-too-strong
    model.train()
    for epoch in range(epochs):
        for tb, vb in batches(t, value, batch_size, rng):
            optimizer.zero_grad()
            loss = criterion(model(tb), vb) + strength * penalty(model)  # near: regularization-too-strong
            loss.backward()
            optimizer.step()
        if epoch % 20 == 0:
            logger.info("epoch %d, loss %.4f", epoch, loss.item())


def score(model, t, value):
    model.eval()
    with torch.no_grad():
        predicted = model(torch.from_numpy(t)).numpy()
    return 1 - ((predicted - value) ** 2).sum() / ((value - value.mean()) ** 2).sum()


def main():
    rng = np.random.default_rng(12)
    torch.manual_seed(12)
    t_train, v_train = chirp(1000, rng)
    t_test, v_test = chirp(300, rng)
    scale, shift = t_train.std(), t_train.mean()
    t_train, t_test = (t_train - shift) / scale, (t_test - shift) / scale
    model = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    train(model, t_train, v_train, rng)
    logger.info("train r2 %.3f", score(model, t_train, v_train))
    print(f"final {score(model, t_test, v_test):.4f}")


if __name__ == "__main__":
    main()
