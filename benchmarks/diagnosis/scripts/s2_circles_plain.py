"""Separate two circles of points with a small network.

style: script, no functions, print
faults: missing-nonlinearity
"""
import torch
import torch.nn as nn
from sklearn.datasets import make_circles
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

torch.manual_seed(42)

X, y = make_circles(n_samples=1000, noise=0.06, factor=0.5, random_state=42)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
scaler = StandardScaler().fit(X_train)
X_train = torch.tensor(scaler.transform(X_train), dtype=torch.float32)
X_test = torch.tensor(scaler.transform(X_test), dtype=torch.float32)
y_train = torch.tensor(y_train, dtype=torch.float32).view(-1, 1)
y_test = torch.tensor(y_test, dtype=torch.float32).view(-1, 1)

model = nn.Sequential(
    nn.Linear(2, 32),  # near: missing-nonlinearity
    nn.ReLU(),  # fixed: missing-nonlinearity
    nn.Linear(32, 32),  # near: missing-nonlinearity
    nn.ReLU(),  # fixed: missing-nonlinearity
    nn.Linear(32, 1),  # near: missing-nonlinearity
)
loss_fn = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)

for epoch in range(40):
    order = torch.randperm(len(X_train))
    for batch in order.split(32):
        optimizer.zero_grad()
        loss = loss_fn(model(X_train[batch]), y_train[batch])
        loss.backward()
        optimizer.step()
    if (epoch + 1) % 10 == 0:
        print(f"epoch {epoch + 1}, loss {loss.item():.4f}")

with torch.no_grad():
    predicted = (model(X_test) > 0).float()
    print("final", (predicted == y_test).float().mean().item())
