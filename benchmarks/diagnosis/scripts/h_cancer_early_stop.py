"""Train a classifier of breast tumours until the validation loss stops falling.

style: class EarlyStopping, loop
faults: none
"""
import copy

import torch
from torch import nn
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


class EarlyStopping:
    def __init__(self, patience=20):
        self.patience = patience
        self.best = float("inf")
        self.bad = 0
        self.state = None

    def update(self, loss, model):
        if loss < self.best - 1e-4:
            self.best, self.bad = loss, 0
            self.state = copy.deepcopy(model.state_dict())
        else:
            self.bad += 1
        return self.bad >= self.patience


torch.manual_seed(0)
x, y = load_breast_cancer(return_X_y=True)
x_rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=3)
x_train, x_val, y_train, y_val = train_test_split(x_rest, y_rest, test_size=0.25, stratify=y_rest, random_state=3)
scaler = StandardScaler().fit(x_train)
x_train, x_val, x_test = (torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (x_train, x_val, x_test))
y_train, y_val, y_test = (torch.tensor(a, dtype=torch.float32) for a in (y_train, y_val, y_test))

model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, amsgrad=True)
criterion = nn.BCEWithLogitsLoss()
stopper = EarlyStopping()

for epoch in range(300):
    model.train()
    order = torch.randperm(len(x_train))
    for i in range(0, len(order), 16):
        idx = order[i:i + 16]
        loss = criterion(model(x_train[idx]).squeeze(1), y_train[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        val_loss = criterion(model(x_val).squeeze(1), y_val).item()
    if stopper.update(val_loss, model):
        print("stopped after epoch", epoch, "best validation loss", round(stopper.best, 4))
        break

model.load_state_dict(stopper.state)
model.eval()
with torch.no_grad():
    predicted = (model(x_test).squeeze(1) > 0).float()
print(f"final {(predicted == y_test).float().mean().item():.4f}")
