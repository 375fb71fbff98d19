"""Train a deep network with a decaying rate on handwritten digits.

style: modules, scheduler, logging
faults: vanishing-gradients, learning-rate-decays-too-soon, dropout-too-strong
"""
import logging

import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


class DeepNet(nn.Module):
    def __init__(self, depth=6, width=64):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.dropout = nn.Dropout(0.96)  # faulty: dropout-too-strong
        self.dropout = nn.Dropout(0.1)  # fixed
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for layer in self.layers:
            x = torch.sigmoid(layer(x))  # faulty: vanishing-gradients
            x = torch.relu(layer(x))  # fixed
        return self.head(self.dropout(x))


def main():
    torch.manual_seed(0)
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=4)
    x_train = torch.tensor(x_train, dtype=torch.float32) / 8 - 0.6
    x_test = torch.tensor(x_test, dtype=torch.float32) / 8 - 0.6
    y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
    net = DeepNet()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    schedule = ExponentialLR(optimizer, gamma=0.05)  # faulty: learning-rate-decays-too-soon
    schedule = ExponentialLR(optimizer, gamma=0.95)  # fixed
    for epoch in range(25):
        net.train()
        total = 0.0
        for idx in torch.randperm(len(x_train)).split(32):
            loss = nn.functional.cross_entropy(net(x_train[idx]), y_train[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        schedule.step()
        if epoch % 5 == 4:
            logging.info("epoch %d loss %.4f", epoch + 1, total / len(x_train))
    net.eval()
    with torch.no_grad():
        print("final", (net(x_test).argmax(1) == y_test).float().mean().item())


if __name__ == "__main__":
    main()
