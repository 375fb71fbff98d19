"""A linear path: argparse, a main guard, a DataLoader, nn.Sequential, SGD with momentum."""

import argparse

import torch
from _digest import report
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    x = torch.randn(256, 20)
    data = TensorDataset(x, x[:, :4].argmax(1))
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.SGD(net.parameters(), arguments.lr, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(arguments.steps):
        for inputs, targets in DataLoader(data, 32, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(net(inputs), targets)
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())
    report(net, optimizer)
