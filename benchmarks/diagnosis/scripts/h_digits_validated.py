"""Train a network with dropout and batch norm on handwritten digits, validating after each epoch.

style: functions, logging
faults: none
"""
import logging

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from sklearn.datasets import load_digits

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger("digits")
torch.manual_seed(1)


def get_loaders():
    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32)
    x = (x - x.mean()) / x.std()
    y = torch.tensor(data.target)
    full = TensorDataset(x, y)
    train, val, test = random_split(full, [1200, 250, len(full) - 1450])
    return (DataLoader(train, batch_size=64, shuffle=True),
            DataLoader(val, batch_size=256), DataLoader(test, batch_size=256))


def make_model():
    return nn.Sequential(
        nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def train_one_epoch(model, loader, optimizer, criterion):
    model.train()
    total, count = 0.0, 0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
        count += len(y)
    return total / count


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return right / len(loader.dataset)


train_loader, val_loader, test_loader = get_loaders()
model = make_model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(1, 31):
    loss = train_one_epoch(model, train_loader, optimizer, criterion)
    accuracy = evaluate(model, val_loader)
    if epoch % 5 == 0:
        log.info("epoch %d loss %.4f val %.4f", epoch, loss, accuracy)
print(f"final {evaluate(model, test_loader):.4f}")
