"""A convolutional digit classifier with normalisation layers.

style: functions, Conv2d, module-level constants
faults: batchnorm-misused
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 8
BATCH = 32
MOMENTUM = 0.0001  # faulty: batchnorm-misused
MOMENTUM = 0.1  # fixed: batchnorm-misused


def block(n_in, n_out):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out, momentum=MOMENTUM),  # near: batchnorm-misused
        nn.ReLU(),
    )


def get_loaders():
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    y = torch.tensor(digits.target)
    train, test = train_test_split(torch.arange(len(y)), test_size=0.25, random_state=0)
    return (
        DataLoader(TensorDataset(x[train], y[train]), batch_size=BATCH, shuffle=True),
        DataLoader(TensorDataset(x[test], y[test]), batch_size=256),
    )


def train_epoch(model, loader, optimizer, criterion):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return right / len(loader.dataset)


if __name__ == "__main__":
    torch.manual_seed(23)
    train_loader, test_loader = get_loaders()
    model = nn.Sequential(
        block(1, 16), block(16, 16), nn.MaxPool2d(2),
        block(16, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(EPOCHS):
        loss = train_epoch(model, train_loader, optimizer, criterion)
        print(f"epoch {epoch + 1}: loss {loss:.4f} accuracy {accuracy(model, test_loader):.3f}")
    print("final", accuracy(model, test_loader))
