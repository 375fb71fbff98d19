"""Handwritten digits with a perceptron of three hidden layers.

style: config dict, class, DataLoader
faults: dropout-too-strong
"""
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

config = {
    "seed": 0,
    "width": 64,
    "drop": 0.93,  # faulty: dropout-too-strong
    "drop": 0.1,  # fixed: dropout-too-strong
    "lr": 1e-3,
    "batch_size": 32,
    "epochs": 20,
}


class Perceptron(nn.Module):
    def __init__(self, width, drop):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Dropout(drop),  # near: dropout-too-strong
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(drop),  # near: dropout-too-strong
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(drop),  # near: dropout-too-strong
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.body(x))


def main():
    torch.manual_seed(15)
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=config["seed"])
    x_train, x_test = torch.tensor(x_train).float(), torch.tensor(x_test).float()
    y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=config["batch_size"], shuffle=True)

    model = Perceptron(config["width"], config["drop"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(config["epochs"]):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
        print(f"epoch {epoch + 1:2d}: loss {loss.item():.3f}, test accuracy {accuracy:.3f}")
    print("final", accuracy)


main()
