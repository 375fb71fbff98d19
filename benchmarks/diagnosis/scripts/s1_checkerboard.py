"""Classify the fields of a checkerboard with a tanh network.

style: class model, config dict, hand-sliced minibatches
faults: initialization-too-large
"""
import torch
from torch import nn
from torch.nn import functional as F

CFG = {
    "fields": 3,
    "train": 2000,
    "test": 1000,
    "width": 48,
    "layers": 4,
    "lr": 3e-3,
    "batch": 50,
    "epochs": 45,
}


def board(n, fields):
    xy = torch.rand(n, 2)
    cell = (xy * fields).floor().long()
    return (xy - 0.5) * 12 ** 0.5, (cell.sum(dim=1) % 2).float()


class Net(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.first = nn.Linear(2, width)
        self.middle = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.last = nn.Linear(width, 1)
        for layer in [self.first, *self.middle, self.last]:
            nn.init.normal_(layer.weight, mean=0.0, std=5.0)  # faulty: initialization-too-large
            nn.init.xavier_normal_(layer.weight)  # fixed: initialization-too-large
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        for layer in self.middle:
            x = torch.tanh(layer(x))
        return self.last(x).squeeze(-1)


def run(cfg):
    x, y = board(cfg["train"], cfg["fields"])
    x_val, y_val = board(cfg["test"], cfg["fields"])
    model = Net(cfg["width"], cfg["layers"])
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg["lr"])

    def validate():
        model.eval()
        with torch.no_grad():
            return ((model(x_val) > 0).float() == y_val).float().mean().item()

    for epoch in range(cfg["epochs"]):
        model.train()
        order = torch.randperm(cfg["train"])
        for start in range(0, cfg["train"], cfg["batch"]):
            idx = order[start:start + cfg["batch"]]
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x[idx]), y[idx])
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: validation accuracy {validate():.3f}")
    return validate()


torch.manual_seed(30)
print(f"final {run(CFG):.4f}")
