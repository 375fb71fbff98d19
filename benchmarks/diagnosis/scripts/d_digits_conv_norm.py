"""Train a convolutional network with batch norm and dropout on handwritten digits.

style: modules, config dict, main function
faults: learning-rate-too-high, wrong-mode
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

SETTINGS = {
    "lr": 2.0,  # faulty: learning-rate-too-high
    "lr": 0.003,  # fixed
    "epochs": 12,
    "batch_size": 64,
    "dropout": 0.5,
}


class ConvNet(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


def run(settings):
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)
    x = (x - x.mean()) / x.std()
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x))
    train, test = order[:1300], order[1300:]
    loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=settings["batch_size"], shuffle=True)

    model = ConvNet(settings["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["lr"])  # near: learning-rate-too-high
    criterion = nn.CrossEntropyLoss()
    for epoch in range(settings["epochs"]):
        model.train()
        total = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2d} loss {total / len(loader):.4f}")

    model.eval()  # fixed: wrong-mode
    with torch.no_grad():
        return (model(x[test]).argmax(1) == y[test]).float().mean().item()  # near: wrong-mode


torch.manual_seed(5)
print(f"final {run(SETTINGS):.4f}")
