"""Predict the cultivar of Italian wines from chemical measurements.

style: custom Dataset, functions
faults: inputs-not-normalized
"""
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset


class WineDataset(Dataset):
    def __init__(self, features, cultivars):
        self.features = torch.as_tensor(features, dtype=torch.float32)  # near: inputs-not-normalized
        self.cultivars = torch.as_tensor(cultivars, dtype=torch.long)

    def __len__(self):
        return len(self.cultivars)

    def __getitem__(self, index):
        return self.features[index], self.cultivars[index]


def load():
    x, y = load_wine(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.35, stratify=y, random_state=3)
    scaler = StandardScaler().fit(x_train)  # fixed: inputs-not-normalized
    x_train, x_test = scaler.transform(x_train), scaler.transform(x_test)  # fixed: inputs-not-normalized
    return WineDataset(x_train, y_train), WineDataset(x_test, y_test)


def train(model, loader, epochs):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(epochs):
        total = 0.0
        for x, y in loader:  # near: inputs-not-normalized
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        if epoch % 20 == 0:
            print("epoch", epoch, "loss", round(total / len(loader.dataset), 4))


def test(model, dataset):
    with torch.no_grad():
        logits = model(dataset.features)
    return (logits.argmax(1) == dataset.cultivars).float().mean().item()


torch.manual_seed(9)
train_set, test_set = load()
net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
train(net, DataLoader(train_set, batch_size=16, shuffle=True), epochs=60)
print("final", test(net, test_set))
