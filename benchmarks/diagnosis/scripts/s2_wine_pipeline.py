"""Sort wines by cultivar.

style: functions, dataclass config, main guard
faults: train-test-mismatch
"""
from dataclasses import dataclass

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn


@dataclass
class Options:
    hidden: int = 24
    lr: float = 0.01
    epochs: int = 120
    batch: int = 16


def load():
    x, y = load_wine(return_X_y=True)
    x_fit, x_val, y_fit, y_val = train_test_split(x, y, test_size=0.4, stratify=y, random_state=2)
    x_fit = torch.tensor(x_fit, dtype=torch.float32)
    x_val = torch.tensor(x_val, dtype=torch.float32)  # near: train-test-mismatch
    mean, std = x_fit.mean(0), x_fit.std(0)
    x_fit = (x_fit - mean) / std  # near: train-test-mismatch
    x_val = (x_val - mean) / std  # fixed: train-test-mismatch
    return x_fit, torch.tensor(y_fit), x_val, torch.tensor(y_val)


@torch.no_grad()
def validate(model, x, y):
    model.eval()
    logits = model(x)  # near: train-test-mismatch
    return nn.functional.cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def main():
    options = Options()
    torch.manual_seed(19)
    x_fit, y_fit, x_val, y_val = load()
    model = nn.Sequential(nn.Linear(13, options.hidden), nn.Tanh(), nn.Dropout(0.1), nn.Linear(options.hidden, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr, weight_decay=1e-4)
    for epoch in range(1, options.epochs + 1):
        model.train()
        for idx in torch.randperm(len(x_fit)).split(options.batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x_fit[idx]), y_fit[idx])
            loss.backward()
            optimizer.step()
        if epoch % 20 == 0:
            val_loss, val_acc = validate(model, x_val, y_val)
            print(f"epoch {epoch:3d}  loss {loss.item():.4f}  val loss {val_loss:.4f}  val acc {val_acc:.3f}")
    print("final", validate(model, x_val, y_val)[1])


if __name__ == "__main__":
    main()
