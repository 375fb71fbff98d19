"""Train a small convolutional network on handwritten digits for a number of steps.

style: modules, steps instead of epochs
faults: loss-expects-logits, regularization-too-strong, same-batch-repeated
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

STEPS = 500


class SmallConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.fc1 = nn.Linear(16 * 16, 48)
        self.fc2 = nn.Linear(48, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1)
        x = self.fc2(F.relu(self.fc1(x)))
        return F.softmax(x, dim=1)  # faulty: loss-expects-logits
        return x  # fixed


def cycle(loader):
    while True:
        yield from loader


torch.manual_seed(33)
digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
y = torch.tensor(digits.target)
order = torch.randperm(len(x))
x, y = x[order], y[order]
loader = DataLoader(TensorDataset(x[:1300], y[:1300]), batch_size=32, shuffle=True)
x_test, y_test = x[1300:], y[1300:]

model = SmallConv()
decay = 0.2  # faulty: regularization-too-strong
decay = 1e-4  # fixed
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)
stream = cycle(loader)
xb, yb = next(stream)  # faulty: same-batch-repeated
for step in range(STEPS):
    xb, yb = next(stream)  # fixed
    loss = F.cross_entropy(model(xb), yb)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 99:
        print(f"step {step + 1} loss {loss.item():.4f}")

with torch.no_grad():
    accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
print(f"final {accuracy:.4f}")
