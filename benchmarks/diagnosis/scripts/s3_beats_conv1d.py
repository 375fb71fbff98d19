"""Train a Conv1d network to name the shape of a heartbeat-like pulse.

style: Kaggle notebook flattened, custom Dataset that perturbs its signals, Conv1d, StepLR
faults: augmentation-too-strong
"""
# %% imports
import random

import numpy as np
import torch
import torch.nn as nn
from sklearn.metrics import accuracy_score
from torch.utils.data import DataLoader, Dataset

SEED = 2021
random.seed(SEED)
np.random.seed(SEED)
torch.manual_seed(SEED)

# %% make the signals
T = 96
CLASSES = ["single", "double", "inverted", "sawtooth"]


def pulse(kind):
    t = np.linspace(0, 1, T)
    c = np.random.uniform(0.3, 0.6)
    w = np.random.uniform(0.03, 0.06)
    bump = lambda m, s: np.exp(-0.5 * ((t - m) / s) ** 2)
    if kind == "single":
        y = bump(c, w)
    elif kind == "double":
        y = bump(c - 0.1, w / 1.5) + 0.7 * bump(c + 0.12, w / 1.5)
    elif kind == "inverted":
        y = bump(c, w) - 0.8 * bump(c + 0.12, w)
    else:
        y = np.clip((t - c + 0.2) / 0.2, 0, 1) * (t < c)
    y = y + 0.05 * np.random.randn(T)
    return (y - y.mean()) / y.std()


labels = np.random.randint(0, len(CLASSES), 1600)
signals = np.stack([pulse(CLASSES[k]) for k in labels]).astype("float32")
print(signals.shape, np.bincount(labels))


# %% dataset
class BeatDataset(Dataset):
    def __init__(self, signals, labels, train):
        self.signals, self.labels, self.train = signals, labels, train
        self.sigma = 6.0  # faulty: augmentation-too-strong
        self.sigma = 0.1  # fixed: augmentation-too-strong

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        sig = self.signals[idx]
        if self.train:
            sig = np.roll(sig, np.random.randint(-8, 9))
            sig = sig * np.random.uniform(0.9, 1.1)
            sig = sig + self.sigma * np.random.randn(T)  # near: augmentation-too-strong
        return torch.from_numpy(sig.astype("float32")).unsqueeze(0), int(self.labels[idx])


train_dl = DataLoader(BeatDataset(signals[:1200], labels[:1200], True), batch_size=32, shuffle=True)
valid_dl = DataLoader(BeatDataset(signals[1200:], labels[1200:], False), batch_size=200)

# %% model
model = nn.Sequential(
    nn.Conv1d(1, 16, 7, stride=2, padding=3), nn.ReLU(),
    nn.Conv1d(16, 32, 5, stride=2, padding=2), nn.ReLU(),
    nn.Conv1d(32, 32, 5, stride=2, padding=2), nn.ReLU(),
    nn.AdaptiveMaxPool1d(4), nn.Flatten(),
    nn.Linear(128, len(CLASSES)),
)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.5)
loss_fn = nn.CrossEntropyLoss()

# %% train
for epoch in range(16):
    model.train()
    running = []
    for xb, yb in train_dl:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        running.append(loss.item())
    scheduler.step()

    model.eval()
    preds, gold = [], []
    with torch.no_grad():
        for xb, yb in valid_dl:
            preds.extend(model(xb).argmax(dim=1).numpy())
            gold.extend(yb.numpy())
    acc = accuracy_score(gold, preds)
    print(f"Epoch {epoch:02d}: train loss = {np.mean(running):.4f}, valid acc = {acc:.4f}")

print(f"final {acc:.4f}")
