"""Train a convolutional network on digits with mixup.

style: functions mixup_data and mixup_criterion as in the paper's repository, dropout, cosine schedule
faults: none
"""
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def mixup_data(x, y, alpha=0.4):
    """Returns mixed inputs, pairs of targets, and lambda"""
    lam = np.random.beta(alpha, alpha) if alpha > 0 else 1.0
    index = torch.randperm(x.size(0))
    return lam * x + (1 - lam) * x[index], y, y[index], lam


def mixup_criterion(criterion, pred, y_a, y_b, lam):
    return lam * criterion(pred, y_a) + (1 - lam) * criterion(pred, y_b)


def conv(n_in, n_out):
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def build_net():
    return nn.Sequential(
        conv(1, 16), conv(16, 16), nn.MaxPool2d(2),
        conv(16, 32), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(128, 10))


def train(net, loader, criterion, optimizer, scheduler):
    net.train()
    train_loss = correct = total = 0
    for inputs, targets in loader:
        inputs, targets_a, targets_b, lam = mixup_data(inputs, targets)
        outputs = net(inputs)
        loss = mixup_criterion(criterion, outputs, targets_a, targets_b, lam)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        train_loss += loss.item()
        predicted = outputs.argmax(1)
        total += targets.size(0)
        correct += lam * predicted.eq(targets_a).sum().item() + (1 - lam) * predicted.eq(targets_b).sum().item()
    return train_loss / len(loader), correct / total


def test(net, x, y):
    net.eval()
    with torch.no_grad():
        return net(x).argmax(1).eq(y).float().mean().item()


def main():
    np.random.seed(20)
    torch.manual_seed(20)
    digits = load_digits()
    images = digits.images[:, None].astype("float32") / 16
    images = (images - images.mean()) / images.std()
    x, x_test, y, y_test = map(torch.from_numpy, train_test_split(images, digits.target, test_size=0.25, random_state=20))
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, drop_last=True)
    net = build_net()
    epochs = 15
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    for epoch in range(epochs):
        loss, acc = train(net, loader, criterion, optimizer, scheduler)
        print(f"Epoch {epoch:2d} loss {loss:.3f} mixed acc {acc:.3f} test acc {test(net, x_test, y_test):.3f}")
    print(f"final {test(net, x_test, y_test):.4f}")


if __name__ == "__main__":
    main()
