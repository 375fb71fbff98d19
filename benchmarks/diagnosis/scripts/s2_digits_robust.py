"""Train a digit classifier that should stand some noise and hidden pixels.

style: class, config dict, hand-sliced minibatches, Conv2d
faults: augmentation-too-strong
"""
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

cfg = {
    "noise": 3.0,  # faulty: augmentation-too-strong
    "hide": 0.9,  # faulty: augmentation-too-strong
    "noise": 0.1,  # fixed: augmentation-too-strong
    "hide": 0.05,  # fixed: augmentation-too-strong
    "lr": 2e-3,
    "batch": 32,
    "epochs": 12,
}


class Augment:
    def __init__(self, noise, hide):
        self.noise, self.hide = noise, hide

    def __call__(self, images):
        images = images + self.noise * torch.randn_like(images)  # near: augmentation-too-strong
        return images * (torch.rand_like(images) > self.hide)  # near: augmentation-too-strong


def load():
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target)
    train, test = train_test_split(torch.arange(len(y)), test_size=0.25, random_state=6)
    return x[train], y[train], x[test], y[test]


torch.manual_seed(26)
x_train, y_train, x_test, y_test = load()
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(),
    nn.Linear(32 * 16, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=cfg["lr"])
criterion = nn.CrossEntropyLoss()
augment = Augment(cfg["noise"], cfg["hide"])

for epoch in range(cfg["epochs"]):
    for idx in torch.randperm(len(x_train)).split(cfg["batch"]):
        images = augment(x_train[idx])  # near: augmentation-too-strong
        loss = criterion(model(images), y_train[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1} loss {loss.item():.4f}")

with torch.no_grad():
    accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
print("final", accuracy)
