"""Train a classifier on handwritten digits whose training labels are wrong in one case out of ten.

style: functions, DataLoader
faults: none
"""
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

np.random.seed(3)
torch.manual_seed(3)


def annotate(y, rate=0.1):
    """Simulate annotators that click a random class now and then."""
    y = y.copy()
    slips = np.random.rand(len(y)) < rate
    y[slips] = np.random.randint(0, 10, slips.sum())
    return y


x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x.astype("float32") / 16, y, test_size=0.3, random_state=3)
mean = x_train.mean(axis=0)
x_train, x_test = torch.from_numpy(x_train - mean), torch.from_numpy(x_test - mean)
train_labels = torch.from_numpy(annotate(y_train))
test_labels = torch.from_numpy(y_test)

loader = DataLoader(TensorDataset(x_train, train_labels), batch_size=32, shuffle=True)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(25):
    model.train()
    seen, total = 0, 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
        seen += len(xb)
    model.eval()
    with torch.no_grad():
        accuracy = (model(x_test).argmax(1) == test_labels).float().mean().item()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} train loss {total / seen:.4f} test accuracy {accuracy:.4f}")

print("final", accuracy)
