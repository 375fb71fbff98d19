"""Regression on generated data with a network that I know from TensorFlow.

style: beginner functions, DataLoader
faults: dropout-too-strong
"""
import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

KEEP = 0.95  # faulty: dropout-too-strong
DROP = 0.05  # fixed: dropout-too-strong


def make_net():
    return nn.Sequential(
        nn.Linear(6, 64),
        nn.ReLU(),
        nn.Dropout(KEEP),  # faulty: dropout-too-strong
        nn.Dropout(DROP),  # fixed: dropout-too-strong
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(KEEP),  # faulty: dropout-too-strong
        nn.Dropout(DROP),  # fixed: dropout-too-strong
        nn.Linear(64, 1),
    )


def get_data():
    x, y = make_friedman1(1500, n_features=6, noise=0.3, random_state=2)
    x = 2 * x - 1
    y = (y - y.mean()) / y.std()
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0)
    to_tensor = lambda a: torch.tensor(a, dtype=torch.float32)
    return to_tensor(x_train), to_tensor(x_test), to_tensor(y_train)[:, None], to_tensor(y_test)[:, None]


def main():
    torch.manual_seed(7)
    x_train, x_test, y_train, y_test = get_data()
    net = make_net()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.002)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    for epoch in range(20):
        net.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = mse(net(x), y)
            loss.backward()
            optimizer.step()
        if epoch % 5 == 0:
            net.eval()
            with torch.no_grad():
                print("epoch", epoch, "test loss", mse(net(x_test), y_test).item())

    net.eval()
    with torch.no_grad():
        pred = net(x_test)
    print("predictions", pred[:6].flatten().tolist())
    print("truth      ", y_test[:6].flatten().tolist())
    print("final", 1 - (mse(pred, y_test) / y_test.var(unbiased=False)).item())


main()
