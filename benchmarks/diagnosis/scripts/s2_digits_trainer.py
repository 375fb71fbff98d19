"""Classify handwritten digits with a small network, driven by a Trainer class.

style: Trainer class, DataLoader
faults: dead-relu
"""
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)


class Net(nn.Module):
    def __init__(self, n_in=64, hidden=96, n_out=10):
        super().__init__()
        self.fc1 = nn.Linear(n_in, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, n_out)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, -8.0)  # faulty: dead-relu
            nn.init.zeros_(layer.bias)  # fixed: dead-relu

    def forward(self, x):
        x = torch.relu(self.fc1(x))  # near: dead-relu
        x = torch.relu(self.fc2(x))  # near: dead-relu
        return self.out(x)


class Trainer:
    def __init__(self, model, train_loader, test_loader, lr):
        self.model = model
        self.train_loader = train_loader
        self.test_loader = test_loader
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)

    def train_epoch(self):
        self.model.train()
        total = 0.0
        for x, y in self.train_loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(x)
        return total / len(self.train_loader.dataset)

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        hits = sum((self.model(x).argmax(1) == y).sum().item() for x, y in self.test_loader)
        return hits / len(self.test_loader.dataset)

    def fit(self, epochs):
        for epoch in range(epochs):
            loss = self.train_epoch()
            print(f"epoch {epoch + 1:2d}  loss {loss:.4f}  accuracy {self.evaluate():.3f}")


def loader(x, y, shuffle):
    data = TensorDataset(torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y))
    return DataLoader(data, batch_size=32, shuffle=shuffle)


images, labels = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
trainer = Trainer(Net(), loader(x_train, y_train, True), loader(x_test, y_test, False), lr=0.02)
trainer.fit(30)
print("final", trainer.evaluate())
