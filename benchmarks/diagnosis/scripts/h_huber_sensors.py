"""Calibrate a cheap sensor against a reference instrument whose readings have outliers.

style: engineer's script, Huber loss, ReduceLROnPlateau, best weights kept, sklearn r2_score
faults: none
"""
import copy

import numpy as np
import torch
from sklearn.metrics import median_absolute_error, r2_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

rng = np.random.default_rng(12)
torch.manual_seed(12)


def measure(n, outliers):
    temperature = rng.uniform(-10, 40, n)
    humidity = rng.uniform(20, 95, n)
    gas = rng.gamma(3.0, 40.0, n)
    voltage = 0.4 * np.log1p(gas / 25) + 0.006 * temperature + 0.2 * (humidity / 100) ** 2 + 0.005 * rng.standard_normal(n)
    reference = gas.copy()
    wild = rng.random(n) < outliers
    reference[wild] += rng.normal(0, 400, wild.sum())
    return np.column_stack([voltage, temperature, humidity]), reference


x_train, y_train = measure(2500, outliers=0.04)
x_valid, y_valid = measure(500, outliers=0.04)
x_test, y_test = measure(800, outliers=0.0)

x_mean, x_std = x_train.mean(0), x_train.std(0)
y_mid, y_scale = np.median(y_train), np.subtract(*np.percentile(y_train, [75, 25]))
to_x = lambda a: torch.from_numpy((a - x_mean) / x_std).float()
to_y = lambda a: torch.from_numpy((a - y_mid) / y_scale).float().unsqueeze(1)

loader = DataLoader(TensorDataset(to_x(x_train), to_y(y_train)), batch_size=50, shuffle=True)
net = nn.Sequential(nn.Linear(3, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1))
huber = nn.HuberLoss(delta=0.5)
optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-3)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3)

best, best_state = float("inf"), None
for epoch in range(40):
    net.train()
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = huber(net(xb), yb)
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        valid = huber(net(to_x(x_valid)), to_y(y_valid)).item()
    plateau.step(valid)
    if valid < best:
        best, best_state = valid, copy.deepcopy(net.state_dict())
    if epoch % 5 == 0:
        print(f"epoch {epoch:2d} valid {valid:.4f} lr {optimizer.param_groups[0]['lr']:.1e}")

net.load_state_dict(best_state)
with torch.no_grad():
    estimate = net(to_x(x_test)).numpy()[:, 0] * y_scale + y_mid
print("median absolute error", round(float(median_absolute_error(y_test, estimate)), 2))
print("final", r2_score(y_test, estimate))
