"""Train a small residual network on eight-by-eight images of digits.

style: research repository, argparse with many flags, AverageMeter, warm-up, nesterov
faults: momentum-too-high
also: learning-rate-too-high, optimizer-unsuited, exploding-gradients
"""
import argparse
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser(description="ResNet on small digits")
parser.add_argument("--epochs", default=12, type=int, help="number of total epochs to run")
parser.add_argument("-b", "--batch-size", default=64, type=int)
parser.add_argument("--lr", "--learning-rate", default=0.1, type=float)
parser.add_argument("--momentum", default=0.999, type=float)  # faulty: momentum-too-high
parser.add_argument("--momentum", default=0.9, type=float)  # fixed: momentum-too-high
parser.add_argument("--weight-decay", "--wd", default=1e-4, type=float)
parser.add_argument("--print-freq", default=4, type=int)
parser.add_argument("--seed", default=1234, type=int)


class AverageMeter:
    """Computes and stores the average and current value"""

    def __init__(self):
        self.val = self.sum = self.count = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n

    @property
    def avg(self):
        return self.sum / max(self.count, 1)


class BasicBlock(nn.Module):
    def __init__(self, planes):
        super().__init__()
        self.conv1 = nn.Conv2d(planes, planes, 3, padding=1)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class TinyResNet(nn.Module):
    def __init__(self, planes=12, blocks=2, num_classes=10):
        super().__init__()
        self.stem = nn.Conv2d(1, planes, 3, padding=1)
        self.blocks = nn.Sequential(*[BasicBlock(planes) for _ in range(blocks)])
        self.fc = nn.Linear(planes * 16, num_classes)

    def forward(self, x):
        x = self.blocks(F.relu(self.stem(x)))
        return self.fc(F.max_pool2d(x, 2).flatten(1))


def train(loader, model, criterion, optimizer, epoch, args):
    losses = AverageMeter()
    end = time.time()
    model.train()
    for images, target in loader:
        loss = criterion(model(images), target)
        losses.update(loss.item(), images.size(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # near: momentum-too-high
    if epoch % args.print_freq == 0:
        print(f"Epoch [{epoch}] Time {time.time() - end:.2f} Loss {losses.avg:.4f}")


@torch.no_grad()
def validate(loader, model):
    top1 = AverageMeter()
    model.eval()
    for images, target in loader:
        top1.update((model(images).argmax(1) == target).float().mean().item(), images.size(0))
    return top1.avg


def main():
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 0.6, torch.tensor(digits.target))
    train_set, val_set = random_split(data, [1397, 400], generator=torch.Generator().manual_seed(0))
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=200)

    model = TinyResNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), args.lr,
                                momentum=args.momentum, nesterov=True,  # near: momentum-too-high
                                weight_decay=args.weight_decay)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=3)
    best = 0.0
    for epoch in range(args.epochs):
        train(train_loader, model, criterion, optimizer, epoch, args)
        acc1 = validate(val_loader, model)
        best = max(best, acc1)
        scheduler.step()
    print(f" * Acc@1 {acc1:.4f} Best {best:.4f}")
    print(f"final {acc1:.4f}")


if __name__ == "__main__":
    main()
