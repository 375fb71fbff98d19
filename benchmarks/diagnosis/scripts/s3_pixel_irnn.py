"""Read digits strip by strip with a rectified recurrent network that starts from the identity (Le et al., 2015).

style: paper reproduction, argparse, functions, RNN over strips of pixels
faults: exploding-gradients
also: learning-rate-too-high, optimizer-unsuited
"""
import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


def parse():
    p = argparse.ArgumentParser(description="IRNN on sequences of pixels")
    p.add_argument("--hidden", type=int, default=64)
    p.add_argument("--lr", type=float, default=0.02)
    p.add_argument("--epochs", type=int, default=16)
    p.add_argument("--batch-size", type=int, default=32)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


class IRNN(nn.Module):
    def __init__(self, hidden, classes=10):
        super().__init__()
        self.rnn = nn.RNN(4, hidden, nonlinearity="relu", batch_first=True)
        self.readout = nn.Linear(hidden, classes)
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(torch.eye(hidden))
            self.rnn.bias_hh_l0.zero_()
            self.rnn.bias_ih_l0.zero_()
            self.rnn.weight_ih_l0.normal_(0, 0.1)

    def forward(self, x):
        _, h = self.rnn(x)
        return self.readout(h[0])


def sequences():
    d = load_digits()
    images = torch.tensor(d.images, dtype=torch.float32) / 16 - 0.3
    # every step sees half a column, column by column
    return images.transpose(1, 2).reshape(len(images), 16, 4), torch.tensor(d.target)


def accuracy(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def main():
    args = parse()
    torch.manual_seed(args.seed)
    x, y = sequences()
    perm = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x_tr, y_tr, x_te, y_te = x[perm[:1400]], y[perm[:1400]], x[perm[1400:]], y[perm[1400:]]
    net = IRNN(args.hidden)
    opt = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9)
    for epoch in range(args.epochs):
        total = 0.0
        for b in torch.randperm(len(x_tr)).split(args.batch_size):
            opt.zero_grad()
            loss = nn.functional.cross_entropy(net(x_tr[b]), y_tr[b])
            loss.backward()  # near: exploding-gradients
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)  # fixed: exploding-gradients
            opt.step()  # near: exploding-gradients
            total += loss.item() * len(b)
        print(f"epoch {epoch:2d}  nll {total / len(x_tr):.4f}  test {accuracy(net, x_te, y_te):.3f}")
    print("final", accuracy(net, x_te, y_te))


if __name__ == "__main__":
    main()
