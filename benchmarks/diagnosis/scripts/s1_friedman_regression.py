"""Fit a multilayer perceptron to the Friedman #1 regression problem.

style: config dict, DataLoader, no main guard
faults: learning-rate-decays-too-soon
"""
import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

CONFIG = {
    "samples": 1500,
    "batch_size": 32,
    "epochs": 40,
    "lr": 3e-3,
    "gamma": 0.93,
    "hidden": 64,
}

torch.manual_seed(3)

X, y = make_friedman1(n_samples=CONFIG["samples"], n_features=10, noise=0.5, random_state=3)
X_train, X_test, y_train, y_test = train_test_split(X, y.reshape(-1, 1), test_size=0.2, random_state=3)
x_scaler = StandardScaler().fit(X_train)
y_scaler = StandardScaler().fit(y_train)


def tensors(features, target):
    return (torch.as_tensor(x_scaler.transform(features), dtype=torch.float32),
            torch.as_tensor(y_scaler.transform(target), dtype=torch.float32))


train_loader = DataLoader(TensorDataset(*tensors(X_train, y_train)), batch_size=CONFIG["batch_size"], shuffle=True)

net = nn.Sequential(
    nn.Linear(10, CONFIG["hidden"]),
    nn.ReLU(),
    nn.Linear(CONFIG["hidden"], CONFIG["hidden"]),
    nn.ReLU(),
    nn.Linear(CONFIG["hidden"], 1),
)
mse = nn.MSELoss()
optimizer = torch.optim.Adam(net.parameters(), lr=CONFIG["lr"])
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=CONFIG["gamma"])  # near: learning-rate-decays-too-soon

for epoch in range(CONFIG["epochs"]):
    net.train()
    running = 0.0
    for xb, yb in train_loader:
        optimizer.zero_grad()
        loss = mse(net(xb), yb)
        loss.backward()
        optimizer.step()
        scheduler.step()  # faulty: learning-rate-decays-too-soon
        running += loss.item() * len(xb)
    scheduler.step()  # fixed: learning-rate-decays-too-soon
    if epoch % 10 == 0 or epoch == CONFIG["epochs"] - 1:
        print(f"epoch {epoch}: train mse {running / len(X_train):.4f}")

net.eval()
with torch.no_grad():
    x_eval, y_eval = tensors(X_test, y_test)
    prediction = net(x_eval)
print(f"final {r2_score(y_eval.numpy(), prediction.numpy()):.4f}")
