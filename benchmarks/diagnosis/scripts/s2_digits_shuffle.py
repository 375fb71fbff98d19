"""Recognise digits with a convolutional network, with minibatches sliced by hand.

style: functions, hand-sliced minibatches, Conv2d
faults: labels-misaligned
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

torch.manual_seed(2)


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 2 * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


def get_data():
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target)
    return x[:1400], y[:1400], x[1400:], y[1400:]


def epoch_of(model, optimizer, x, y, size=32):
    order = torch.randperm(len(x))
    x = x[order]  # near: labels-misaligned
    y = y[order]  # fixed: labels-misaligned
    total = 0.0
    for start in range(0, len(x), size):
        images, labels = x[start:start + size], y[start:start + size]  # near: labels-misaligned
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(images)
    return total / len(x)


def accuracy(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


x_train, y_train, x_test, y_test = get_data()
model = ConvNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(15):
    loss = epoch_of(model, optimizer, x_train, y_train)
    print(f"epoch {epoch}: loss {loss:.3f}, test accuracy {accuracy(model, x_test, y_test):.3f}")
print("final", accuracy(model, x_test, y_test))
