"""Train a network that returns log-probabilities on handwritten digits.

style: class, config dict
faults: none
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

config = {"hidden": 96, "lr": 0.1, "momentum": 0.9, "epochs": 40, "batch": 64}


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 10)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return F.log_softmax(self.fc3(x), dim=1)


def main(config):
    torch.manual_seed(5)
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16.0, y, test_size=0.3, random_state=2)
    x_train = torch.tensor(x_train, dtype=torch.float32)
    x_test = torch.tensor(x_test, dtype=torch.float32)
    y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

    net = Net(config["hidden"])
    optimizer = torch.optim.SGD(net.parameters(), lr=config["lr"], momentum=config["momentum"])
    criterion = nn.CrossEntropyLoss()
    n = len(x_train)
    for epoch in range(config["epochs"]):
        perm = torch.randperm(n)
        epoch_loss = 0.0
        for i in range(0, n, config["batch"]):
            rows = perm[i:i + config["batch"]]
            optimizer.zero_grad()
            loss = criterion(net(x_train[rows]), y_train[rows])
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(rows)
        if (epoch + 1) % 8 == 0:
            print("epoch", epoch + 1, "loss", round(epoch_loss / n, 4))

    with torch.no_grad():
        probabilities = net(x_test).exp()
    accuracy = (probabilities.argmax(1) == y_test).float().mean().item()
    print("final", accuracy)


main(config)
