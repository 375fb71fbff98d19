"""Train a network on noisy handwritten digits and evaluate the moving average of its weights.

style: class, custom Dataset
faults: none
"""
import copy

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from sklearn.datasets import load_digits


class NoisyDigits(Dataset):
    def __init__(self, x, y, noise):
        self.x, self.y, self.noise = x, y, noise

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        x = self.x[index]
        if self.noise:
            x = x + self.noise * torch.randn_like(x)
        return x, self.y[index]


class Averaged:
    def __init__(self, model, decay=0.99):
        self.decay = decay
        self.model = copy.deepcopy(model).eval()
        for p in self.model.parameters():
            p.requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        for mine, theirs in zip(self.model.parameters(), model.parameters()):
            mine.lerp_(theirs, 1 - self.decay)


torch.manual_seed(14)
data = load_digits()
x = torch.tensor(data.data, dtype=torch.float32)
x = (x - x.mean()) / x.std()
y = torch.tensor(data.target)
order = torch.randperm(len(x))
train_set = NoisyDigits(x[order[:1300]], y[order[:1300]], noise=0.3)
test_set = NoisyDigits(x[order[1300:]], y[order[1300:]], noise=0.0)

model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
average = Averaged(model)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
criterion = nn.CrossEntropyLoss()
loader = DataLoader(train_set, batch_size=32, shuffle=True)
for epoch in range(30):
    total = 0.0
    for xb, yb in loader:
        loss = criterion(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(model)
        total += loss.item()
    if epoch % 6 == 5:
        print(f"epoch {epoch + 1} loss {total / len(loader):.4f}")

with torch.no_grad():
    xb, yb = test_set[range(len(test_set))]
    print("final", (average.model(xb).argmax(1) == yb).float().mean().item())
