"""Train a convolutional network on handwritten digits with label smoothing and a cosine schedule.

style: script, scheduler per step
faults: none
"""
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits

torch.manual_seed(21)

images, targets = load_digits(return_X_y=True)
images = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8)
images = (images - 4.9) / 6.0
targets = torch.tensor(targets)
shuffled = torch.randperm(len(images))
train_idx, test_idx = shuffled[:1300], shuffled[1300:]

epochs = 15
loader = DataLoader(TensorDataset(images[train_idx], targets[train_idx]), batch_size=50, shuffle=True)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Conv2d(32, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
scheduler = CosineAnnealingLR(optimizer, T_max=epochs * len(loader), eta_min=0.0)

for epoch in range(epochs):
    net.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
    print(f"epoch {epoch + 1:2d}  loss {loss.item():.3f}  lr {scheduler.get_last_lr()[0]:.5f}")

net.eval()
with torch.no_grad():
    accuracy = (net(images[test_idx]).argmax(1) == targets[test_idx]).float().mean().item()
print(f"final {accuracy:.4f}")
