"""Train one network with two heads: a class, and a number with outliers under the Huber loss.

style: module with two outputs, config dict
faults: none
"""
import torch
import torch.nn as nn
from sklearn.metrics import r2_score

CONFIG = {"samples": 2000, "hidden": 64, "lr": 2e-3, "epochs": 40, "batch": 64, "weight": 1.0}


def generate(n):
    x = torch.randn(n, 6)
    value = torch.sin(1.5 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * x[:, 3]
    kind = (x[:, 0] + x[:, 4] > 0).long() + (x[:, 1].abs() > 1).long()
    return x, value, kind


class TwoHeads(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.value = nn.Linear(hidden, 1)
        self.kind = nn.Linear(hidden, 3)

    def forward(self, x):
        h = self.trunk(x)
        return self.value(h).squeeze(-1), self.kind(h)


torch.manual_seed(15)
x, value, kind = generate(CONFIG["samples"])
x_test, value_test, kind_test = generate(800)
outliers = torch.rand(len(value)) < 0.03
value = value + outliers * 8.0 * torch.randn(len(value))

model = TwoHeads(6, CONFIG["hidden"])
optimizer = torch.optim.Adam(model.parameters(), lr=CONFIG["lr"])
huber, entropy = nn.HuberLoss(delta=1.0), nn.CrossEntropyLoss()
for epoch in range(CONFIG["epochs"]):
    sums = [0.0, 0.0]
    for idx in torch.randperm(len(x)).split(CONFIG["batch"]):
        v, k = model(x[idx])
        loss_value, loss_kind = huber(v, value[idx]), entropy(k, kind[idx])
        optimizer.zero_grad()
        (loss_value + CONFIG["weight"] * loss_kind).backward()
        optimizer.step()
        sums[0] += loss_value.item() * len(idx)
        sums[1] += loss_kind.item() * len(idx)
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1} huber {sums[0] / len(x):.4f} entropy {sums[1] / len(x):.4f}")

with torch.no_grad():
    v, k = model(x_test)
r2 = r2_score(value_test.numpy(), v.numpy())
accuracy = (k.argmax(1) == kind_test).float().mean().item()
print(f"r2 {r2:.4f} accuracy {accuracy:.4f}")
print(f"final {(r2 + accuracy) / 2:.4f}")
