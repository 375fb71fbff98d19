"""Train a convolutional network on handwritten digits with an effective batch of 128 built from four small ones.

style: functions, DataLoader, constants at the top
faults: none
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

MICRO_BATCH = 32
ACCUMULATE = 4
EPOCHS = 20

torch.manual_seed(0)


def load():
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    y = torch.tensor(digits.target, dtype=torch.long)
    x = (x - x.mean()) / x.std()
    a, b = train_test_split(range(len(x)), test_size=0.25, random_state=1, stratify=digits.target)
    return TensorDataset(x[a], y[a]), (x[b], y[b])


def build():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
    )


def train_epoch(model, loader, optimizer, criterion):
    model.train()
    optimizer.zero_grad()
    total = 0.0
    for step, (xb, yb) in enumerate(loader, start=1):
        loss = criterion(model(xb), yb)
        (loss / ACCUMULATE).backward()
        total += loss.item()
        if step % ACCUMULATE == 0 or step == len(loader):
            optimizer.step()
            optimizer.zero_grad()
    return total / len(loader)


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


train_set, (x_test, y_test) = load()
loader = DataLoader(train_set, batch_size=MICRO_BATCH, shuffle=True)
model = build()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(EPOCHS):
    loss = train_epoch(model, loader, optimizer, criterion)
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1}: loss {loss:.4f}")
print("final", round(accuracy(model, x_test, y_test), 4))
