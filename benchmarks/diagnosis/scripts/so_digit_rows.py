"""Classify digits given as flat vectors, with one Dataset class for training and validation.

style: custom Dataset, beginner loop
faults: train-test-mismatch
"""
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, train=True):
        digits = load_digits()
        n = 1300
        images = digits.images[:n] if train else digits.images[n:]
        labels = digits.target[:n] if train else digits.target[n:]
        images = torch.tensor(images, dtype=torch.float32) / 16
        if train:  # faulty: train-test-mismatch
            images = images.transpose(1, 2)  # faulty: train-test-mismatch
        self.x = images.reshape(len(images), 64)  # near: train-test-mismatch
        self.y = torch.tensor(labels)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, idx):
        return self.x[idx], self.y[idx]


torch.manual_seed(33)
train_loader = DataLoader(Digits(train=True), batch_size=32, shuffle=True)
val_loader = DataLoader(Digits(train=False), batch_size=100)  # near: train-test-mismatch

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(15):
    model.train()
    correct = total = 0
    for x, y in train_loader:
        optimizer.zero_grad()
        out = model(x)
        loss = criterion(out, y)
        loss.backward()
        optimizer.step()
        correct += (out.argmax(1) == y).sum().item()
        total += len(y)

    model.eval()
    val_correct = val_total = 0
    with torch.no_grad():
        for x, y in val_loader:
            val_correct += (model(x).argmax(1) == y).sum().item()
            val_total += len(y)
    val_acc = val_correct / val_total
    print(f"epoch {epoch}: train acc {correct / total:.3f}, val acc {val_acc:.3f}")

print("final", val_acc)
