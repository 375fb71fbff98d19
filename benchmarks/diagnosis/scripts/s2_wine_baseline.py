"""Train a wine classifier and compare it with its accuracy before training.

style: Trainer class, DataLoader
faults: wrong-mode
also: inputs-not-normalized
"""
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(10)


class Trainer:
    def __init__(self, net, train_set, val_set):
        self.net = net
        self.loader = DataLoader(train_set, batch_size=20, shuffle=True, drop_last=True)
        self.val_set = val_set
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)

    def validate(self):
        self.net.eval()  # near: wrong-mode
        x, y = self.val_set.tensors
        with torch.no_grad():
            return (self.net(x).argmax(1) == y).float().mean().item()

    def run(self, epochs):
        print(f"before training: {self.validate():.3f}")
        for epoch in range(epochs):
            self.net.train()  # fixed: wrong-mode
            total = 0.0
            for x, y in self.loader:  # near: wrong-mode
                self.optimizer.zero_grad()
                loss = self.criterion(self.net(x), y)  # near: wrong-mode
                loss.backward()
                self.optimizer.step()
                total += loss.item()
            if epoch % 10 == 9:
                print(f"epoch {epoch + 1}: loss {total / len(self.loader):.4f} accuracy {self.validate():.3f}")
        return self.validate()


def load():
    x, y = load_wine(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.35, stratify=y, random_state=1)
    return (
        TensorDataset(torch.tensor(x_train, dtype=torch.float32), torch.tensor(y_train)),
        TensorDataset(torch.tensor(x_val, dtype=torch.float32), torch.tensor(y_val)),
    )


network = nn.Sequential(
    nn.BatchNorm1d(13),  # brings the raw measurements to one scale
    nn.Linear(13, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2),
    nn.Linear(32, 3),
)
train_set, val_set = load()
print("final", Trainer(network, train_set, val_set).run(epochs=100))
